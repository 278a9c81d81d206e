"""The configuration of PanoHead's generator (arXiv 2303.13071; spec 1.17)."""

from dataclasses import dataclass
from typing import Literal

from models.networks.dual_discriminator import MASK_SIZE
from models.trigrid.config import TrigridConfig

JudgedMask = Literal["channel", "branch", "none"]
"""How the discriminator sees the head's mask."""


@dataclass(frozen=True, kw_only=True)
class PanoHeadConfig(TrigridConfig):
    """Everything that determines the shapes and the formula of a generator; defaults are the published full-head model's."""

    judged_mask: JudgedMask = "channel"
    mask_size: int = MASK_SIZE
    """Side of the mask in the discriminator's branch, where it has one."""


PANOHEAD512 = PanoHeadConfig()
"""The published full-head model: 512x512 from 128x128 rays."""

PANOHEAD_TINY128 = PanoHeadConfig(
    z_dim=32, mapping_embed=32, mapping_hidden=64, channel_base=512, channel_max=32, image_size=128,
    neural_rendering_resolution=32, depth_resolution=12, depth_resolution_importance=12, superresolution="2X",
)  # fmt: skip
"""The network of the reference vectors, with few channels."""

PANOHEAD_UNIT = PanoHeadConfig(
    z_dim=8, w_dim=8, channel_base=512, channel_max=8, plane_resolution=32, plane_channels=4, triplane_depth=2,
    decoder_hidden=8, decoder_features=4, image_size=32, neural_rendering_resolution=16, depth_resolution=6,
    depth_resolution_importance=6, ray_start="auto", ray_end="auto", c_gen_conditioning_zero=True, superresolution="2X",
    superresolution_channels=(8, 4), judged_mask="channel",
)  # fmt: skip
"""For tests: the structure of the published network with a few thousand parameters."""
