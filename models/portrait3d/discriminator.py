"""The discriminator of 3DPortraitGAN: it tells the pose of what it sees, and judges image, raw image and mask beside camera and
pose (arXiv 2307.14770, section 3.4; spec 5.2 and 5.3).

Notable choices:
- two passes through the trunk: mirrored where the camera is at the person's left, for the pose, and as it is, for the score;
- the score sees the pose without a gradient; it is trained by the pose that fakes were made with, not by being fooled;
- the published network mirrors the image but not the camera beside it, so its symmetry is not exact; ours does both, and
  `compat_unmirrored_label` is for published weights;
- a pose depends a little on who else is in the batch (the deviation channel): compare poses of groups of the same size.
"""

import torch
from torch import Tensor

from models.camera import LABEL_DIM, Camera
from models.generator import DiscriminatorOutput
from models.heads.skinned_body import POSE, mirrored
from models.networks.dual_discriminator import Judged, MaskDiscriminator, judged
from models.networks.stylegan2.synthesis import block_channels
from models.portrait3d.config import PortraitConfig
from models.portrait3d.pose_heads import PoseHead, mirrored_label, on_left

Images = dict[str, Tensor]


class PoseDiscriminator(MaskDiscriminator):
    """Images with their mask and a camera -> logits [B,1] and the pose [B,6] of neck and head."""

    def __init__(self, config: PortraitConfig):
        super().__init__(config, label_dim=LABEL_DIM + POSE)
        self.compat_unmirrored_label = config.compat_unmirrored_label
        channels = block_channels(4, self.base, self.most)
        self.pose_branch = PoseHead(channels * 16 + LABEL_DIM, config.judged_pose_hidden)

    def forward(
        self, rendering: Judged, camera: Camera | Tensor, random: torch.Generator | None = None, pose: Tensor | None = None
    ) -> DiscriminatorOutput:
        """Judges as if the pose were `pose` [B,6] where given; the output's own is always the predicted one."""
        images, label = judged(rendering, camera)
        predicted = self.pose(images, label)
        condition = torch.cat([self._noisy(label, random), predicted.detach() if pose is None else pose], dim=1)
        return DiscriminatorOutput(logits=self.b4(self.features(images), self.mapping(None, condition)), pose=predicted)

    def pose(self, images: Images, label: Tensor) -> Tensor:
        """[B,6] neck and head rotation of what images show to cameras [B,25], radians."""
        left = on_left(label)
        flat = self.b4.flattened(self.features(mirrored_images(images, left)))
        seen = label if self.compat_unmirrored_label else torch.where(left[:, None], mirrored_label(label), label)
        predicted = self.pose_branch(torch.cat([flat, seen], dim=1))
        return torch.where(left[:, None], mirrored(predicted), predicted)


def mirrored_images(images: Images, rows: Tensor) -> Images:
    """The images, those of `rows` [B] turned left to right."""
    chosen = rows[:, None, None, None]
    return {name: torch.where(chosen, image.flip(3), image) for name, image in images.items()}
