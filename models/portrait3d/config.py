"""The configurations of 3DPortraitGAN (arXiv 2307.14770; spec 3dportraitgan, sections 2 to 5)."""

from dataclasses import dataclass
from typing import Literal

from models.heads.mesh_warp import REACH
from models.trigrid.config import TrigridConfig

RADIUS, FOCAL = 2.7, 5000 / 1024 / 0.75
"""Distance of its cameras from the neck joint, m, and focal length over image width."""
LOOK_AT = (0.0, 0.0649, 0.0)
"""What they look at: the height of the head joint."""
EXTENT = RADIUS / FOCAL
"""Side of a frontal picture at the depth of the neck joint, m."""
SMPL = "smpl"
"""The body of the published networks, a file that only users have."""


@dataclass(frozen=True, kw_only=True)
class PortraitConfig(TrigridConfig):
    """Everything that determines the shapes and the formula of a generator; defaults are the published 512 px model's."""

    neural_rendering_resolution: int = 64
    """The last stage of a training doubles it."""
    body: str = "bust"
    """Whose skin the space is bent with: a name of models.heads.bust.BODIES, `smpl`, or the identity of another body's file."""
    warp: Literal["face", "skin", "rignerf", "none"] = "face"
    """How points follow the body (models.heads.mesh_warp); `none`: not at all."""
    reach: float = REACH
    """m from the skin up to which they do."""
    pose_hidden: tuple[int, ...] = (128, 32)
    """Widths of the generator's pose head."""
    judged_pose_hidden: tuple[int, ...] = (2048, 512, 128, 32)
    """Widths of the discriminator's."""
    compat_unmirrored_label: bool = False
    """The discriminator's pose head sees a mirrored image beside the camera as it was, as the published one does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pose_hidden", "judged_pose_hidden"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.reach > 0:
            raise ValueError(f"reach {self.reach} is not above 0")


PORTRAIT512 = PortraitConfig()
"""The published model at 512 px."""

PORTRAIT256 = PortraitConfig(image_size=256, superresolution="4X")
"""The published model at 256 px."""

PORTRAIT_TINY128 = PortraitConfig(
    z_dim=32, mapping_embed=32, mapping_hidden=64, channel_base=512, channel_max=32, image_size=128,
    neural_rendering_resolution=32, depth_resolution=12, depth_resolution_importance=12, superresolution="2X",
    discriminator_channel_base=2048, discriminator_channel_max=512,
)  # fmt: skip
"""The network of the reference vectors, with few channels."""

PORTRAIT_SMALL = PortraitConfig(
    z_dim=128, w_dim=128, channel_base=4096, channel_max=96, plane_resolution=128, plane_channels=16, decoder_hidden=32,
    decoder_features=16, image_size=128, neural_rendering_resolution=64, depth_resolution=16, depth_resolution_importance=16,
    superresolution="2X", superresolution_channels=(32, 16), discriminator_channel_max=64, warp="skin", pose_hidden=(64, 32),
    judged_pose_hidden=(256, 64, 32),
)  # fmt: skip
"""Ours for a laptop: 128x128 from 64x64 rays, bent by the skin, which tears less (docs/decisions/016-the-warp.md)."""

PORTRAIT_UNIT = PortraitConfig(
    z_dim=8, w_dim=8, channel_base=512, channel_max=8, plane_resolution=32, plane_channels=4, triplane_depth=2,
    decoder_hidden=8, decoder_features=4, image_size=32, neural_rendering_resolution=16, depth_resolution=6,
    depth_resolution_importance=6, ray_start="auto", ray_end="auto", c_gen_conditioning_zero=True, superresolution="2X",
    superresolution_channels=(8, 4), body="coarse bust", pose_hidden=(8,), judged_pose_hidden=(16,),
)  # fmt: skip
"""For tests: the structure of the published network with a few thousand parameters."""
