"""Generators of heads seen from all around: a StyleGAN2 backbone writes a tri-grid, rays are marched through it, a second
backbone paints the background, super-resolution makes the image (PanoHead, arXiv 2303.13071, section 3; spec 1.17).

Notable choices:
- seen from behind, a tri-plane shows the face again, mirrored: each plane holds one feature for all depths. A tri-grid gives it
  a few slices along the axis it leaves out (section 3.3);
- the head alone is 3D. What is behind it is a 2D image of features, so the discriminator can be shown the head's mask and the
  rays have no reason to build walls (section 3.2). For the same reason density is removed near the sides of the box;
- features stay features: no activation, no rgb * 2 - 1. Head and background are composited before `torgb` makes the raw image;
- a scene may have a `warp` that takes points to where the grids were written for: a bent neck, say. What is empty near the
  sides of the box is decided behind it;
- parameter names are the official ones; nothing is remembered between calls; random only where `Sampling`, `noise` or
  `density_noise` say so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.camera import LABEL_DIM, Camera
from models.compute_mode import EXACT, Compute
from models.generator import (
    Control,
    LatentSpec,
    Noise,
    Rendering,
    RenderSettings,
    Role,
    as_images,
    for_each,
    grouped,
    rays_of,
)
from models.latent_directions import Listener
from models.networks.stylegan2.layers import listeners
from models.networks.stylegan2.mapping import Mapping, seen_label
from models.networks.stylegan2.resampling import resize
from models.networks.stylegan2.synthesis import Synthesis, ToRGB
from models.networks.superresolution import VARIANTS, SuperResolution
from models.rendering.fields import Field
from models.rendering.renderer import render_rays
from models.rendering.sampling import Sampling
from models.trigrid.config import TrigridConfig
from models.volumes.decoders import DecodedField, Decoder, unmoved
from models.volumes.planes import PLANE_AXES, as_texels, crop_mask, lookup, with_third

SOLID = 1e3
"""Raw density of what is opaque for certain; its negative is empty for certain."""


ROLES: dict[Role, tuple[str, ...]] = {
    "backbone": ("backbone.synthesis", "bcg_synthesis"), "mapping": ("backbone.mapping",), "decoder": ("decoder",),
    "superresolution": ("superresolution", "torgb"),
}  # fmt: skip


class Backbone(nn.Module):
    """z, label -> ws -> planes; exists for its name in the official state."""

    def __init__(self, *, synthesis: Synthesis, mapping: Mapping):
        super().__init__()
        self.synthesis, self.mapping = synthesis, mapping


Warp = Callable[[Tensor], Tensor]
"""Points [B,N,3] of what is shown -> points [B,N,3] of the box that the grids fill."""


class TrigridGenerator(nn.Module):
    """What the families on a tri-grid share; see models.generator.Generator for what pipelines may use."""

    roles: dict[Role, tuple[str, ...]] = ROLES
    deaf: tuple[str, ...] = ("backbone.mapping", "decoder")
    """Parts that do not read w."""

    def __init__(self, config: TrigridConfig, label_dim: int = LABEL_DIM):
        super().__init__()
        self.config, self.label_dim = config, label_dim
        synthesis = Synthesis(
            w_dim=config.w_dim, resolution=config.plane_resolution, channel_base=config.channel_base,
            channel_max=config.channel_max, image_channels=3 * config.plane_channels * config.triplane_depth,
        )  # fmt: skip
        self.backbone = Backbone(synthesis=synthesis, mapping=mapping_of(config, label_dim, num_ws=synthesis.num_ws))
        self.decoder = Decoder(
            config.plane_channels, hidden=config.decoder_hidden, features=config.decoder_features,
            lr_multiplier=config.decoder_lr_mul, activation=config.decoder_activation,
        )  # fmt: skip
        self.superresolution = SuperResolution(
            config.decoder_features, variant=VARIANTS[config.superresolution], image_size=config.image_size,
            w_dim=config.w_dim, channels=config.superresolution_channels, antialias=config.sr_antialias,
        )  # fmt: skip
        if config.use_torgb_raw:
            self.torgb = ToRGB(config.decoder_features, 3, w_dim=config.w_dim)
        if config.use_background:
            self.bcg_synthesis = Synthesis(
                w_dim=config.w_dim, resolution=self.superresolution.input_size, image_channels=config.decoder_features,
                channel_base=config.channel_base // 2, channel_max=config.channel_max,
            )  # fmt: skip

    @property
    def latent(self) -> LatentSpec:
        return LatentSpec(z_dim=self.config.z_dim, w_dim=self.config.w_dim, num_ws=self.backbone.synthesis.num_ws)

    @property
    def image_size(self) -> int:
        return self.config.image_size

    @property
    def raw_size(self) -> int:
        return self.config.neural_rendering_resolution

    def mapping(self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """ws [B,num_ws,w_dim] of z [B,z_dim]; `condition` [B,25] is a camera label, the frontal one at inference."""
        blind, scale = self.config.c_gen_conditioning_zero, self.config.c_scale
        label = seen_label(z, condition, dim=self.label_dim, blind=blind, scale=scale)
        return self.backbone.mapping(z, label, truncation, cutoff)

    def planes(self, ws: Tensor, noise: Noise = "const", compute: Compute = EXACT) -> Tensor:
        """[B,3,C*D,R,R] planes of ws [B,num_ws,w_dim]; channel c*D+d is feature c of slice d."""
        return self.backbone.synthesis(ws, noise, compute).unflatten(1, (3, -1))

    def field(self, planes: Tensor, density_noise: float = 0.0, warp: Warp | None = None) -> Field:
        """The radiance field of these planes as a function of points [B,M,3].

        density = decoder + density_noise N(0,1), then cropped, culled, binarized; training lets the noise fade from 1 to 0.
        """

        def tidied(density: Tensor, points: Tensor) -> Tensor:
            if density_noise:
                density = density + density_noise * torch.randn_like(density)
            return self._tidied(density, points)

        return DecodedField(features=self._lookup(planes), decoder=self.decoder, tidied=tidied, warp=warp or unmoved)

    def density_at(self, planes: Tensor, points: Tensor) -> Tensor:
        """The decoder's raw density [B,N,1] at points [B,N,3], for regularization; the `field` has what is rendered."""
        return self.decoder.density(self._lookup(planes)(points))[..., None]

    def render_rays(
        self, planes: Tensor, origins: Tensor, directions: Tensor, *, sampling: Sampling, density_noise: float = 0.0,
        warp: Warp | None = None, compute: Compute = EXACT, side: int | None = None,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Features [B,N,C] of the head alone (empty: 0), depth [B,N,1] and alpha [B,N,1] of any rays [B,N,3]."""
        field = self.field(planes, density_noise, warp)
        return render_rays(field, origins, directions, sampling, self.config.volume, compute, side=side)

    def background_features(self, ws: Tensor, noise: Noise = "const", compute: Compute = EXACT) -> Tensor:
        """[B,C,S,S] what is behind the head, at the size S that super-resolution starts from; reads the first ws."""
        return self.bcg_synthesis(ws[:, : self.bcg_synthesis.num_ws], noise, compute)

    def background_image(self, ws: Tensor, noise: Noise = "const") -> Tensor:
        """[B,3,R,R] the raw image of the background alone, as it is painted for ws [B,num_ws,w_dim]."""
        features = resize(self.background_features(ws, noise), self.raw_size, self.config.sr_antialias)
        return self.torgb(features, ws[:, self.bcg_synthesis.num_ws - 1])

    def groups(self) -> dict[Role, list[nn.Parameter]]:
        """The parameters by what they are for."""
        return grouped(self, self.roles)

    def listeners(self) -> list[Listener]:
        """Layers that read w; nothing is a person's own."""
        return listeners(self, self.config.w_dim, deaf=self.deaf, own={})

    @property
    def mean_latent(self) -> Tensor:
        return self.backbone.mapping.w_avg

    def track(self, w: Tensor) -> None:
        self.backbone.mapping.track(w)

    @torch.no_grad()
    def backbone_share(self, ws: Tensor) -> Tensor:
        """[1,3,C*D,R,R] the grids of ws [1,num_ws,w_dim]."""
        return self.planes(ws)

    def prepare(
        self, control: Control, *, frozen: Tensor | None = None, noise: Noise = "const", compute: Compute = EXACT
    ) -> "TrigridScene":
        """The feature grids of `control`; a scene serves any number of cameras."""
        ws = control.ws
        planes = self.planes(ws, noise, compute) if frozen is None else frozen.expand(len(ws), -1, -1, -1, -1)
        return TrigridScene(control=control, planes=planes, generator=self, noise=noise)

    def render(
        self, scene: "TrigridScene", camera: Camera, how: RenderSettings = RenderSettings(), *,
        background_ws: Tensor | None = None, density_noise: float = 0.0,
    ) -> Rendering:  # fmt: skip
        """The scene as its cameras see it; `how.background` replaces the painted one, `semantics` is the mask 1.002 alpha -
        0.001 that is judged.

        `background_ws` [B,num_ws,w_dim] paints another latent's background; training takes a neighbor's with probability 0.2.
        """
        heads, compute, count = scene.control.ws, how.compute, len(camera)
        size, sampling = how.raw_size or self.raw_size, how.sampling or self.config.sampling()
        rays = rays_of(camera, size, how.rays, len(heads))
        rendered = self.render_rays(
            scene.planes, *rays, sampling=sampling, density_noise=density_noise, warp=scene.warp, compute=compute,
            side=size if how.rays is None else None,
        )  # fmt: skip
        features, depth, alpha = as_images(rendered, how.rays, size, empty=(0.0, 0.0, 0.0), count=count)
        if self.config.use_background:
            behind = self.background_features(heads if background_ws is None else background_ws, scene.noise, compute)
            features = features + (1 - alpha) * for_each(resize(behind, size, self.config.sr_antialias), count)
        ws = for_each(heads, count)
        raw = self.torgb(features, ws[:, -1]) if self.config.use_torgb_raw else features[:, :3]
        image = raw if how.raw_only else self.superresolution(raw, features, ws, compute, how.patch)[0]
        if how.background is not None:
            image, raw = _before(how.background, image, alpha), _before(how.background, raw, alpha)
        return Rendering(image=image, raw=raw, depth=depth, alpha=alpha, semantics=1.002 * alpha - 0.001)

    def synthesis(
        self, ws: Tensor, camera: Camera, *, background: Tensor | None = None, background_ws: Tensor | None = None,
        sampling: Sampling | None = None, noise: Noise = "const", density_noise: float = 0.0, compute: Compute = EXACT,
    ) -> Rendering:  # fmt: skip
        """`prepare` and `render` in one call: ws [B,num_ws,w_dim] as seen by B cameras."""
        scene = self.prepare(Control(ws=ws), noise=noise, compute=compute)
        how = RenderSettings(sampling=sampling, background=background, compute=compute)
        return self.render(scene, camera, how, background_ws=background_ws, density_noise=density_noise)

    def _lookup(self, planes: Tensor) -> Callable[[Tensor], Tensor]:
        texels, axes = as_texels(planes, self.config.triplane_depth), with_third(PLANE_AXES[self.config.plane_axes])
        return lambda points: lookup(texels, points, axes, self.config.box_warp)

    def _tidied(self, density: Tensor, points: Tensor) -> Tensor:
        config = self.config
        if config.triplane_crop:
            density = torch.where(crop_mask(points, config.box_warp, config.triplane_crop), -SOLID, density)
        if config.cull_clouds is not None:
            density = torch.where(opacity(density) < config.cull_clouds, -SOLID, density)
        if config.binarize_clouds is not None:
            density = torch.where(opacity(density) < config.binarize_clouds, -SOLID, SOLID)
        return density


@dataclass(frozen=True, kw_only=True, eq=False)
class TrigridScene:
    """Feature grids [B,3,C*D,R,R] and the control that made them."""

    control: Control
    planes: Tensor
    generator: TrigridGenerator
    noise: Noise = "const"
    """Of the convolutions that paint the background."""
    warp: Warp | None = None
    """From the shown pose to the grids'; None: they agree."""

    @property
    def box_size(self) -> float:
        return self.generator.config.box_warp

    def density(self, points: Tensor) -> Tensor:
        """The decoder's raw density [B,N] at points [B,N,3], before anything is cropped or culled."""
        points = points if self.warp is None else self.warp(points)
        return self.generator.density_at(self.planes, points)[..., 0]

    def field(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Color features [B,N,C] and raw density [B,N] at points [B,N,3] in head units."""
        return self.generator.field(self.planes, warp=self.warp)(points)


def mapping_of(config: TrigridConfig, label_dim: int, *, w_dim: int | None = None, **options: Any) -> Mapping:
    """A mapping network from z and a label to `w_dim` numbers, None: the config's."""
    return Mapping(
        z_dim=config.z_dim, label_dim=label_dim, layers=config.mapping_layers, embed=config.mapping_embed,
        hidden=config.mapping_hidden, w_dim=w_dim or config.w_dim, **options,
    )  # fmt: skip


def opacity(density: Tensor) -> Tensor:
    """1 - exp(-softplus(density - 1)), the share of light that one unit of length stops. Raw density 1: 0.5."""
    return 1 - torch.exp(-F.softplus(density - 1))


def _before(background: Tensor, image: Tensor, alpha: Tensor) -> Tensor:
    """alpha image + (1 - alpha) background; a soft edge keeps a little of the painted background."""
    size = image.shape[-1]
    shares, picture = (x if x.shape[-1] in (1, size) else resize(x, size) for x in (alpha, background))
    return torch.lerp(picture.expand_as(image), image, shares)
