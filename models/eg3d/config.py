"""The configurations of EG3D's generator (arXiv 2112.07945, supplement; spec 1.2)."""

from dataclasses import dataclass
from typing import Any, Literal

from models.rendering.sampling import Jitter, Limits, Sampling, Volume
from models.volumes.config_checks import check_volume_config
from models.volumes.decoders import DensityPrior

COARSE = 16
"""Texels a side that the coarse part of a plane averages: an eye or a mouth is gone, the outline stays."""
PERSON_PLANES = 24
"""Free plane sets that a person gets beside the prior's."""


@dataclass(frozen=True, kw_only=True)
class EG3DConfig:
    """Everything that determines the shapes and the formula of a generator; defaults are FFHQ-512."""

    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 2
    mapping_embed: int | None = None
    """Width of the embedded label; None: w_dim."""
    mapping_hidden: int | None = None
    """Width between the mapping layers; None: w_dim."""
    mapping_last: Literal["lrelu", "linear"] = "lrelu"
    """Activation of the last mapping layer. Official: lrelu; linear for networks whose mapping imitates a formula."""
    channel_base: int = 32768
    """Channels at a resolution are min(channel_base // resolution, channel_max), in generator and discriminator."""
    channel_max: int = 512
    plane_resolution: int = 256
    plane_channels: int = 32
    plane_axes: str = "eg3d_fixed67"
    """A name of models.volumes.planes.PLANE_AXES; belongs to the weights."""
    decoder_hidden: int = 64
    decoder_features: int = 32
    decoder_lr_mul: float = 1.0
    image_size: int = 512
    neural_rendering_resolution: int = 128
    """Side of the raw image, in rays."""
    depth_resolution: int = 48
    depth_resolution_importance: int = 48
    ray_start: float | Literal["auto"] = 2.25
    """Head units from the camera; `auto` for both limits: where the ray is in the box."""
    ray_end: float | Literal["auto"] = 3.3
    box_warp: float = 1.0
    """Side of the cube that the planes span, head units."""
    disparity_space_sampling: bool = False
    white_back: bool = False
    compat_auto_limits: bool = False
    """Reproduce the release's limits for rays that miss the box."""
    c_gen_conditioning_zero: bool = False
    """The mapping network sees a zero label instead of a camera; True for a person (GAN-Avatar)."""
    c_scale: float = 1.0
    """Multiplies the label before the mapping network."""
    superresolution: str = "8XDC"
    """A name of models.networks.superresolution.VARIANTS."""
    superresolution_channels: tuple[int, int] | None = None
    """Channels of its two blocks; None: the official ones."""
    sr_antialias: bool = True
    compat_inplace_raw: bool = False
    """Return the raw image with the first block's toRGB in it where nothing was resized, as the release does."""
    discriminator_channel_max: int | None = None
    """None: channel_max."""
    discriminator_channel_base: int | None = None
    """None: channel_base."""
    disc_c_noise: float = 0.0
    """Noise on the discriminator's label, in standard deviations of the batch's labels."""
    static_planes: bool = False
    """planes = static_planes + dynamic_gain * backbone: what does not move is learned once, for all latents."""
    dynamic_gain: float = 1.0
    """Share of the backbone in the planes; 0.3 in QUICK."""
    basis_planes: int = 0
    """Number of free plane sets whose weighted sum is added, the weights linear in w: expressions are learned as fast as the
    static part, where the convolutional backbone needs many more steps. At half the planes' resolution."""
    back_plane: bool = False
    """Behind the origin the coarse part of the plane (x,y) and a free plane, at half the planes' resolution, take its place:
    a tri-plane shares (x,y) between the face and the back of the head, where eyes would show through."""
    paint: int = 0
    """Texels a side of the planes that paint the surface at image resolution (models.volumes.surface_texture); 0: none."""
    paint_sets: int = 24
    """Such planes that w moves, at half the side."""
    density_gain: float = 1.0
    """Multiplies the decoder's raw density: surfaces get sharp in fewer steps. Official: 1."""
    density_prior: DensityPrior | None = None
    """A solid that the raw density starts from."""

    def __post_init__(self) -> None:
        prior: Any = self.density_prior  # a dict and lists when read from JSON
        if isinstance(prior, dict):
            object.__setattr__(self, "density_prior", DensityPrior(**prior))
        if self.superresolution_channels is not None:
            object.__setattr__(self, "superresolution_channels", tuple(self.superresolution_channels))
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
        return Volume(
            box_size=self.box_warp, limits=limits, disparity=self.disparity_space_sampling, white_back=self.white_back,
            compat_auto_limits=self.compat_auto_limits,
        )  # fmt: skip


FFHQ512 = EG3DConfig()
"""GAN-Avatar's base: the fixed tri-plane FFHQ configuration, 512x512 from 128x128 rays."""


TINY128 = EG3DConfig(
    z_dim=32, mapping_embed=32, mapping_hidden=64, channel_base=512, channel_max=32, plane_axes="eg3d_released", image_size=128,
    neural_rendering_resolution=32, depth_resolution=12, depth_resolution_importance=12, superresolution="2X",
)  # fmt: skip
"""The network of the reference vectors, with few channels."""


QUICK = EG3DConfig(
    z_dim=128, w_dim=128, channel_base=2048, channel_max=64, plane_resolution=128, plane_channels=16, decoder_hidden=32,
    decoder_features=16, image_size=128, neural_rendering_resolution=64, depth_resolution=12, depth_resolution_importance=12,
    ray_start="auto", ray_end="auto", c_gen_conditioning_zero=True, superresolution="2X", superresolution_channels=(32, 16),
    discriminator_channel_max=48, static_planes=True, dynamic_gain=0.3, basis_planes=16, density_gain=8.0,
    density_prior=DensityPrior(),
)  # fmt: skip
"""Ours for a laptop: 128x128 from 64x64 rays."""


UNIT = EG3DConfig(
    z_dim=8, w_dim=8, channel_base=128, channel_max=8, plane_resolution=32, plane_channels=4, decoder_hidden=8,
    decoder_features=4, image_size=32, neural_rendering_resolution=16, depth_resolution=6, depth_resolution_importance=6,
    ray_start="auto", ray_end="auto", c_gen_conditioning_zero=True, superresolution="2X", superresolution_channels=(8, 4),
    static_planes=True, dynamic_gain=0.3, basis_planes=4, density_prior=DensityPrior(),
)  # fmt: skip
"""For tests: the structure of QUICK with a few thousand parameters."""
