"""PanoHead: EG3D for heads seen from all around (arXiv 2303.13071, section 3; spec 1.17), a generator on a tri-grid.

Notable choice: camera labels of heads from behind are poor, so a small network shifts the camera (section 3.4). It acts in
`forward`, which training uses; `synthesis` renders the camera it is given.
"""

from torch import Tensor
from torch.nn import functional as F

from models.camera import LABEL_DIM, Camera
from models.generator import Noise, Rendering
from models.panohead.config import PanoHeadConfig
from models.rendering.sampling import Sampling
from models.trigrid.generator import ROLES, TrigridGenerator, mapping_of


class PanoHead(TrigridGenerator):
    """A generator of full heads; see models.generator.Generator for what pipelines may use."""

    family = "panohead"
    roles = {**ROLES, "pose": ("t_mapping",)}
    deaf = ("backbone.mapping", "t_mapping", "decoder")

    def __init__(self, config: PanoHeadConfig):
        super().__init__(config)
        self.t_mapping = mapping_of(config, LABEL_DIM, w_dim=3, num_ws=1, lr_multiplier=1.0, last_activation="linear")

    def camera_shift(self, z: Tensor, camera: Camera) -> Tensor:
        """[B,3] how far the camera of this head really stood from its label, head units (section 3.4).

        Training holds its mean over the batch near 0, losses.mean_shift_penalty.
        """
        return self.t_mapping(z, camera.label())[:, 0]

    def forward(self, z: Tensor, camera: Camera, *, sampling: Sampling | None = None, noise: Noise = "const") -> Rendering:
        """z [B,z_dim] as training sees it: conditioned on its own camera, rendered by the shifted one."""
        ws = self.mapping(z, camera.label())
        return self.synthesis(ws, shifted(camera, self.camera_shift(z, camera)), sampling=sampling, noise=noise)


def shifted(camera: Camera, shift: Tensor) -> Camera:
    """The cameras moved by shift [B,3] in head space: it is added to the label's entries 3, 7, 11."""
    pose = camera.world_from_camera + F.pad(shift[..., None], (3, 0, 0, 1))
    return Camera(world_from_camera=pose, intrinsics=camera.intrinsics)
