"""EG3D: a StyleGAN2 backbone writes three feature planes, rays are marched through them, super-resolution makes the image
(arXiv 2112.07945, section 4). GAN-Avatar's appearance model is this network fine-tuned on one person (section 3.1).

Notable choices:
- parameter names are the official ones, so converted weights load strictly; the config's fields from `static_planes` on are
  ours, off by default: free planes, static and linear in w, learned in minutes for a person, and a head-shaped density prior;
- planes -> rays -> super-resolution are separate calls, so training can march a subset of the rays and drive can keep planes;
- nothing is remembered between calls but a backbone that is held; rendering is deterministic unless its `Sampling` or `noise`
  says random.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.camera import Camera
from models.compositing import over
from models.compute import EXACT, Compute
from models.decoders import Decoder, DensityPrior
from models.generator import LatentSpec, Rendering
from models.paint import Paint
from models.planes import PLANE_AXES, as_texels, in_front, lookup
from models.rendering import Field, render_rays
from models.sampling import Jitter, Limits, Sampling, Volume
from models.stylegan2.layers import FullyConnected
from models.stylegan2.mapping import Mapping, seen_label
from models.stylegan2.synthesis import Noise, Synthesis
from models.superresolution import VARIANTS, SuperResolution

LABEL_DIM = 25
COARSE = 16
"""Texels a side that the coarse part of a plane averages: an eye or a mouth is gone, the outline stays."""


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
    """A name of models.planes.PLANE_AXES; belongs to the weights."""
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
    """A name of models.superresolution.VARIANTS."""
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
    """Texels a side of the planes that paint the surface at the image's resolution (models.paint); 0: no paint."""
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
        if (self.ray_start == "auto") != (self.ray_end == "auto"):
            raise ValueError(f"ray_start {self.ray_start!r} and ray_end {self.ray_end!r}: either both are `auto` or none")

    def sampling(self, jitter: Jitter = "mid") -> Sampling:
        """As many samples as the config says."""
        return Sampling(coarse=self.depth_resolution, fine=self.depth_resolution_importance, jitter=jitter)

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


class Backbone(nn.Module):
    """z, label -> ws -> planes; exists for its name in the official state."""

    def __init__(self, config: EG3DConfig):
        super().__init__()
        self.synthesis = Synthesis(
            w_dim=config.w_dim, resolution=config.plane_resolution, image_channels=3 * config.plane_channels,
            channel_base=config.channel_base, channel_max=config.channel_max,
        )  # fmt: skip
        self.mapping = Mapping(
            z_dim=config.z_dim, label_dim=LABEL_DIM, w_dim=config.w_dim, layers=config.mapping_layers,
            num_ws=self.synthesis.num_ws, embed=config.mapping_embed, hidden=config.mapping_hidden,
            last_activation=config.mapping_last,
        )  # fmt: skip


class EG3D(nn.Module):
    """A generator of 3D heads; see models.generator.Generator for what pipelines may use."""

    def __init__(self, config: EG3DConfig):
        super().__init__()
        self.config = config
        self._held: Tensor | None = None
        self.backbone = Backbone(config)
        self.decoder = Decoder(
            config.plane_channels, hidden=config.decoder_hidden, features=config.decoder_features,
            lr_multiplier=config.decoder_lr_mul,
        )  # fmt: skip
        self.superresolution = SuperResolution(
            config.decoder_features, variant=VARIANTS[config.superresolution], image_size=config.image_size, w_dim=config.w_dim,
            channels=config.superresolution_channels, antialias=config.sr_antialias,
        )  # fmt: skip
        if config.static_planes:
            shape = 1, 3 * config.plane_channels, config.plane_resolution, config.plane_resolution
            self.static_planes = nn.Parameter(torch.zeros(shape))
        if config.basis_planes:
            half = config.plane_resolution // 2
            self.basis_weights = FullyConnected(config.w_dim, config.basis_planes)
            self.basis_planes = nn.Parameter(0.02 * torch.randn(config.basis_planes, 3 * config.plane_channels, half, half))
        if config.back_plane:
            side = config.plane_resolution // 2
            self.back_plane = nn.Parameter(torch.zeros(1, config.plane_channels, side, side))
        if config.paint:
            self.paint = Paint(
                texels=config.paint, sets=config.paint_sets, w_dim=config.w_dim, axes=PLANE_AXES[config.plane_axes],
                box_size=config.box_warp,
            )  # fmt: skip

    @property
    def latent(self) -> LatentSpec:
        return LatentSpec(z_dim=self.config.z_dim, w_dim=self.config.w_dim, num_ws=self.backbone.synthesis.num_ws)

    @property
    def image_size(self) -> int:
        return self.config.image_size

    def mapping(self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """ws [B,num_ws,w_dim] of z [B,z_dim]; `condition` [B,25] is a camera label, the frontal one at inference."""
        blind, scale = self.config.c_gen_conditioning_zero, self.config.c_scale
        label = seen_label(z, condition, dim=LABEL_DIM, blind=blind, scale=scale)
        return self.backbone.mapping(z, label, truncation, cutoff)

    def planes(self, ws: Tensor, noise: Noise = "const", compute: Compute = EXACT) -> Tensor:
        """[B,3,C,R,R] feature planes of ws [B,num_ws,w_dim]: backbone, and our static and linear parts where configured."""
        planes = self.backbone.synthesis(ws, noise, compute) if self._held is None else self._held.expand(len(ws), -1, -1, -1)
        if self.config.static_planes:
            planes = self.static_planes + self.config.dynamic_gain * planes
        if self.config.basis_planes:
            moved = torch.einsum("bk,kchw->bchw", self.basis_weights(ws[:, 0]), self.basis_planes)
            planes = planes + nn.functional.interpolate(moved, scale_factor=2, mode="bilinear", align_corners=False)
        return planes.unflatten(1, (3, -1))

    @torch.no_grad()
    def hold(self, ws: Tensor | None) -> None:
        """From now on the backbone's share of any planes is that of ws [1,num_ws,w_dim], computed once: a third of a step saved
        where latents move in directions that only free planes hear. None: no longer."""
        self._held = None if ws is None else self.backbone.synthesis(ws, "const")

    def field(self, planes: Tensor) -> Field:
        """The radiance field of these planes as a function of points [B,M,3]."""
        features_at = self._lookup(planes)

        def evaluate(points: Tensor) -> tuple[Tensor, Tensor]:
            features, density = self.decoder(features_at(points))
            return features, self._with_prior(density, points)

        return evaluate

    def density_at(self, planes: Tensor, points: Tensor) -> Tensor:
        """Raw density [B,N,1] at points [B,N,3] in head units; rendered is softplus(raw - 1) per unit of length."""
        return self._with_prior(self.decoder.density(self._lookup(planes)(points)), points)[..., None]

    def render_rays(
        self, planes: Tensor, origins: Tensor, directions: Tensor, *, sampling: Sampling, compute: Compute = EXACT
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features [B,N,C] in about [-1,1] (empty: -1), depth [B,N,1] and alpha [B,N,1] of any rays [B,N,3]."""
        return render_rays(self.field(planes), origins, directions, sampling, self.config.volume, compute)

    def super_resolve(self, feature_image: Tensor, ws: Tensor, compute: Compute = EXACT, patch: bool = False) -> Tensor:
        """[B,3,H,H] of features [B,C,h,h], or the part of it that a `patch` shows; over black, as the features are."""
        return self.superresolution(feature_image[:, :3], feature_image, ws, compute, patch)[0]

    def painted(
        self, image: Tensor, ws: Tensor, camera: Camera, *, depth: Tensor, alpha: Tensor, compute: Compute = EXACT
    ) -> Tensor:
        """The super-resolved image [B,3,H,H] over black with the paint on its surface, where the config has any."""
        if not self.config.paint:
            return image
        return image + compute.run(self.paint, ws[:, 0], camera, depth, alpha, self.image_size)

    def synthesis(
        self, ws: Tensor, camera: Camera, *, background: Tensor | None = None, sampling: Sampling | None = None,
        noise: Noise = "const", compute: Compute = EXACT, raw_size: int | None = None,
    ) -> Rendering:  # fmt: skip
        """Render ws [B,num_ws,w_dim] as seen by B cameras; `raw_size` rays a side instead of the configuration's.

        Without a background the images are the network's own, over black. `background` [B,3,1,1] or [B,3,H,W] in [-1,1] is put
        behind image and raw image by the alpha of the rays.
        """
        size, sampling = raw_size or self.config.neural_rendering_resolution, sampling or self.config.sampling()
        rendered = self.render_rays(self.planes(ws, noise, compute), *camera.rays(size), sampling=sampling, compute=compute)
        features, depth, alpha = (value.mT.unflatten(2, (size, size)) for value in rendered)
        raw = features[:, :3]
        image, skip = self.superresolution(raw, features, ws, compute)
        image = self.painted(image, ws, camera, depth=depth, alpha=alpha, compute=compute)
        if self.config.compat_inplace_raw and skip.shape == raw.shape and not self.superresolution.resizes(size):
            raw = skip
        if background is not None:
            image, raw = over(image, alpha, background), over(raw, alpha, _shrunk(background, size))
        return Rendering(image=image, raw=raw, depth=depth, alpha=alpha)

    def _lookup(self, planes: Tensor) -> Callable[[Tensor], Tensor]:
        axes, box = PLANE_AXES[self.config.plane_axes], self.config.box_warp
        if not self.config.back_plane:
            texels = as_texels(planes)
            return lambda points: lookup(texels, points, axes, box)
        texels = as_texels(torch.cat([planes, self._back(planes)], 1))

        def features(points: Tensor) -> Tensor:
            front = in_front(points)
            whole = torch.ones_like(front)
            return lookup(texels, points, (*axes, axes[0]), box, torch.stack([front, whole, whole, 1 - front], -1) / 3)

        return features

    def _back(self, planes: Tensor) -> Tensor:
        """[B,1,C,R,R] what takes the place of the plane (x,y) behind the origin: its coarse part, and a free plane."""
        size = planes.shape[-2:]
        coarse = nn.functional.avg_pool2d(planes[:, 0], COARSE)
        back, coarse = (
            nn.functional.interpolate(one, size, mode="bilinear", align_corners=False) for one in (self.back_plane, coarse)
        )
        return (back + coarse)[:, None]

    def _with_prior(self, density: Tensor, points: Tensor) -> Tensor:
        prior, density = self.config.density_prior, self.config.density_gain * density
        return density if prior is None else density + prior(points)


def _shrunk(background: Tensor, size: int) -> Tensor:
    """A background image at the raw size; one color stays as it is."""
    if background.shape[-1] in (1, size):
        return background
    return nn.functional.interpolate(background, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
