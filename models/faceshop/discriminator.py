"""3DFaceShop's dual discriminator (section 4.2.1; spec 6): it judges the image beside the enlarged raw one, given two angles,
and guesses the angles and the latent code from the image.

Notable choices: the raw image comes first and is enlarged bicubically; images are compared in groups of four, officially of
one, which compares nothing.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from models.faceshop.config import FaceShopConfig
from models.faceshop.pose import POSE_DIM, pose_angles
from models.generator import DiscriminatorOutput, Rendering
from models.networks.dual_discriminator import DualDiscriminator, Judged


class FaceShopDiscriminator(DualDiscriminator):
    """image, raw image and camera -> logits [B,1], angles [B,2] and z [B,z_dim]."""

    own_filter = False

    def __init__(self, config: FaceShopConfig):
        guesses = POSE_DIM + config.z_dim
        super().__init__(config, label_dim=POSE_DIM, guesses=guesses, group_size=config.discriminator_group)

    def forward(self, rendering: Judged, camera: Camera | Tensor, random: torch.Generator | None = None) -> DiscriminatorOutput:
        """A rendering or a dict of images; a camera or its label [B,25]; `random` numbers for the angles' noise."""
        camera = camera if isinstance(camera, Camera) else Camera.from_label(camera)
        return self.of_stack(self.stacked(rendering), self._noisy(pose_angles(camera), random))

    def stacked(self, rendering: Judged) -> Tensor:
        """[B,6,H,H] the enlarged raw image, then the image."""
        if isinstance(rendering, Rendering):
            rendering = {"image": rendering.image, "image_raw": rendering.raw}
        return torch.cat([enlarged(rendering["image_raw"], self.image_size), rendering["image"]], 1)

    def of_stack(self, images: Tensor, angles: Tensor) -> DiscriminatorOutput:
        """The verdict on six channels [B,6,H,H], whose gradient is penalized, and angles [B,2]."""
        logits, guesses = self.b4.judged(self._through("b", self.sizes, images), self.mapping(None, angles))
        return DiscriminatorOutput(logits=logits, pose=guesses[:, :POSE_DIM], latent=guesses[:, POSE_DIM:])


def enlarged(raw: Tensor, size: int) -> Tensor:
    """[B,3,size,size] bicubic."""
    if raw.shape[-1] == size:
        return raw
    return F.interpolate(raw, size=(size, size), mode="bicubic", align_corners=False)


def as_raw(real: Tensor, size: int) -> Tensor:
    """[B,3,size,size] every so manyth pixel of a real image, as officially."""
    return F.interpolate(real, size=(size, size), mode="nearest")
