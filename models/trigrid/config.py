"""The configuration of a generator on a tri-grid with a painted background (PanoHead, arXiv 2303.13071; spec 1.17)."""

from dataclasses import dataclass
from typing import Literal

from models.rendering.sampling import Jitter, Limits, Sampling, Volume
from models.volumes.config_checks import check_volume_config
from models.volumes.decoders import Activation


@dataclass(frozen=True, kw_only=True)
class TrigridConfig:
    """What determines the shapes and the formula of such a generator; defaults are the published full-head model's.

    Fields that EG3DConfig has too mean the same.
    """

    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    mapping_embed: int | None = None
    """Width of the embedded label; None: the network's output: w_dim."""
    mapping_hidden: int | None = None
    """Width between the mapping layers; None: as above."""
    channel_base: int = 32768
    """Of the backbone and the discriminator; the background has half."""
    channel_max: int = 512
    plane_resolution: int = 256
    """Officially `triplane_size`."""
    plane_channels: int = 32
    plane_axes: str = "panohead"
    triplane_depth: int = 3
    """Slices of each grid."""
    triplane_crop: float = 0.1
    """Head units at the sides of the box, |x| and |z|, that stay empty; 0: none."""
    cull_clouds: float | None = None
    """Remove density that is less opaque than this after one unit of length."""
    binarize_clouds: float | None = None
    """Make density solid or empty, split at this opacity."""
    decoder_hidden: int = 64
    decoder_features: int = 32
    decoder_activation: Activation = "none"
    decoder_lr_mul: float = 1.0
    use_torgb_raw: bool = True
    """The raw image is a 1x1 convolution of the features, not their first three channels."""
    use_background: bool = True
    image_size: int = 512
    neural_rendering_resolution: int = 128
    depth_resolution: int = 48
    depth_resolution_importance: int = 48
    ray_start: float | Literal["auto"] = 2.25
    ray_end: float | Literal["auto"] = 3.3
    box_warp: float = 1.0
    c_gen_conditioning_zero: bool = False
    c_scale: float = 1.0
    superresolution: str = "8XDC"
    superresolution_channels: tuple[int, int] | None = None
    """Channels of its two blocks; None: the official ones."""
    sr_antialias: bool = True
    discriminator_channel_max: int | None = None
    discriminator_channel_base: int | None = None
    disc_c_noise: float = 0.0

    def __post_init__(self) -> None:
        check_volume_config(self)

    def sampling(self, jitter: Jitter = "mid") -> Sampling:
        """As many samples as the config says."""
        return Sampling(coarse=self.depth_resolution, fine=self.depth_resolution_importance, jitter=jitter)

    @property
    def box_size(self) -> float:
        """Side of the cube that is marched, in head units."""
        return self.box_warp

    @property
    def volume(self) -> Volume:
        limits: Limits = "box" if self.ray_start == "auto" or self.ray_end == "auto" else (self.ray_start, self.ray_end)
        return Volume(box_size=self.box_warp, limits=limits, signed=self.decoder_activation == "sigmoid")
