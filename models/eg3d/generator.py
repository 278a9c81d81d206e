"""EG3D: a StyleGAN2 backbone writes three feature planes, rays are marched through them, super-resolution makes the image
(arXiv 2112.07945, section 4). GAN-Avatar's appearance model is this network fine-tuned on one person (section 3.1).

Notable choices:
- parameter names are the official ones, so converted weights load strictly; the config's fields from `static_planes` on are
  ours, off by default: free planes, static and linear in w, learned in minutes for a person, and a head-shaped density prior;
- planes -> rays -> super-resolution are separate calls, so training can march a subset of the rays and drive can keep planes;
- nothing is remembered between calls; rendering is deterministic unless its `Sampling` or `noise` says random.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.camera import LABEL_DIM, Camera
from models.compute_mode import EXACT, Compute
from models.eg3d.config import COARSE, PERSON_PLANES, EG3DConfig
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
from models.networks.stylegan2.layers import FullyConnected, listeners
from models.networks.stylegan2.mapping import Mapping, seen_label
from models.networks.stylegan2.synthesis import Synthesis
from models.networks.superresolution import VARIANTS, SuperResolution
from models.rendering.compositing import over
from models.rendering.fields import Field
from models.rendering.renderer import render_rays
from models.rendering.sampling import Sampling
from models.volumes.decoders import DecodedField, Decoder
from models.volumes.planes import PLANE_AXES, as_texels, in_front, lookup
from models.volumes.surface_texture import Paint

ROLES: dict[Role, tuple[str, ...]] = {
    "backbone": ("backbone.synthesis",), "mapping": ("backbone.mapping",), "decoder": ("decoder",),
    "superresolution": ("superresolution",), "mixing": ("basis_weights", "paint.weights"),
    "free_volume": ("static_planes", "basis_planes", "back_plane"),
    "texture": ("paint.fixed", "paint.moving"),
}  # fmt: skip


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

    family = "eg3d"

    def __init__(self, config: EG3DConfig):
        super().__init__()
        self.config = config
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

    @property
    def raw_size(self) -> int:
        return self.config.neural_rendering_resolution

    def mapping(self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """ws [B,num_ws,w_dim] of z [B,z_dim]; `condition` [B,25] is a camera label, the frontal one at inference."""
        blind, scale = self.config.c_gen_conditioning_zero, self.config.c_scale
        label = seen_label(z, condition, dim=LABEL_DIM, blind=blind, scale=scale)
        return self.backbone.mapping(z, label, truncation, cutoff)

    @property
    def mean_latent(self) -> Tensor:
        return self.backbone.mapping.w_avg

    def track(self, w: Tensor) -> None:
        self.backbone.mapping.track(w)

    @torch.no_grad()
    def backbone_share(self, ws: Tensor) -> Tensor:
        """[1,3*C,R,R] the backbone's share of the planes of ws [1,num_ws,w_dim]: a third of a step saved where latents move in
        directions that only free planes hear."""
        return self.backbone.synthesis(ws, "const")

    def planes(self, ws: Tensor, noise: Noise = "const", compute: Compute = EXACT, frozen: Tensor | None = None) -> Tensor:
        """[B,3,C,R,R] feature planes of ws [B,num_ws,w_dim]: backbone, and our static and linear parts where configured."""
        planes = self.backbone.synthesis(ws, noise, compute) if frozen is None else frozen.expand(len(ws), -1, -1, -1)
        if self.config.static_planes:
            planes = self.static_planes + self.config.dynamic_gain * planes
        if self.config.basis_planes:
            moved = torch.einsum("bk,kchw->bchw", self.basis_weights(ws[:, 0]), self.basis_planes)
            planes = planes + nn.functional.interpolate(moved, scale_factor=2, mode="bilinear", align_corners=False)
        return planes.unflatten(1, (3, -1))

    def field(self, planes: Tensor) -> Field:
        """The radiance field of these planes as a function of points [B,M,3]."""
        return DecodedField(features=self._lookup(planes), decoder=self.decoder, tidied=self._with_prior)

    def density_at(self, planes: Tensor, points: Tensor) -> Tensor:
        """Raw density [B,N,1] at points [B,N,3] in head units; rendered is softplus(raw - 1) per unit of length."""
        return self._with_prior(self.decoder.density(self._lookup(planes)(points)), points)[..., None]

    def render_rays(
        self, planes: Tensor, origins: Tensor, directions: Tensor, *, sampling: Sampling, compute: Compute = EXACT,
        side: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Features [B,N,C] in about [-1,1] (empty: -1), depth [B,N,1] and alpha [B,N,1] of any rays [B,N,3]."""
        field, volume = self.field(planes), self.config.volume
        features, depth, alpha = render_rays(field, origins, directions, sampling, volume, compute, side=side)
        return features, depth, alpha

    def super_resolve(self, feature_image: Tensor, ws: Tensor, compute: Compute = EXACT, patch: bool = False) -> Tensor:
        """[B,3,H,H] of features [B,C,h,h], or the part of it that a `patch` shows; over black, as the features are."""
        return self.superresolution(feature_image[:, :3], feature_image, ws, compute, patch)[0]

    def painted(
        self, image: Tensor, ws: Tensor, camera: Camera, *, depth: Tensor, alpha: Tensor, compute: Compute = EXACT
    ) -> Tensor:
        """The super-resolved image [B,3,H,H] over black with the paint on its surface, where the config has any."""
        if not self.config.paint:
            return image
        return image + compute.run(self.paint, ws[:, 0], camera, depth, alpha, image.shape[-1])

    def groups(self) -> dict[Role, list[nn.Parameter]]:
        """The parameters by what they are for."""
        return grouped(self, ROLES)

    def listeners(self) -> list[Listener]:
        """Layers that read w; the last free planes and the paint are a person's own."""
        own = {"basis_weights": PERSON_PLANES if self.config.basis_planes else 0, "paint.weights": self.config.paint_sets}
        return listeners(self, self.config.w_dim, deaf=("backbone.mapping", "decoder"), own=own)

    def prepare(
        self, control: Control, *, frozen: Tensor | None = None, noise: Noise = "const", compute: Compute = EXACT
    ) -> "TriplaneScene":
        """The feature planes of `control`; a scene serves any number of cameras."""
        return TriplaneScene(control=control, planes=self.planes(control.ws, noise, compute, frozen), generator=self)

    def render(self, scene: "TriplaneScene", camera: Camera, how: RenderSettings = RenderSettings()) -> Rendering:
        """The scene as its cameras see it; without a background over black, as the network's images are.

        Where some rays are left out, the raw image is what the others saw, also with `compat_inplace_raw`.
        """
        size, sampling = how.raw_size or self.raw_size, how.sampling or self.config.sampling()
        ws, compute = for_each(scene.control.ws, len(camera)), how.compute
        rays = rays_of(camera, size, how.rays, len(scene.control))
        side = size if how.rays is None else None
        rendered = self.render_rays(scene.planes, *rays, sampling=sampling, compute=compute, side=side)
        features, depth, alpha = as_images(rendered, how.rays, size, empty=(-1.0, 0.0, 0.0), count=len(camera))
        raw = features[:, :3]
        if how.raw_only:
            raw = raw if how.background is None else over(raw, alpha, _shrunk(how.background, size))
            return Rendering(image=raw, raw=raw, depth=depth, alpha=alpha)
        image, skip = self.superresolution(raw, features, ws, compute, how.patch)
        image = self.painted(image, ws, camera, depth=depth, alpha=alpha, compute=compute)
        if how.rays is not None:  # cut out anew, so that gradients add up in the order of the versions before
            raw = features[:, :3]
        in_place = self.config.compat_inplace_raw and how.rays is None and not self.superresolution.resizes(size)
        if in_place and skip.shape == raw.shape:
            raw = skip
        if how.background is not None:
            image, raw = over(image, alpha, how.background), over(raw, alpha, _shrunk(how.background, size))
        return Rendering(image=image, raw=raw, depth=depth, alpha=alpha)

    def synthesis(
        self, ws: Tensor, camera: Camera, *, background: Tensor | None = None, sampling: Sampling | None = None,
        noise: Noise = "const", compute: Compute = EXACT, raw_size: int | None = None,
    ) -> Rendering:  # fmt: skip
        """Both calls in one, for ws [B,num_ws,w_dim]."""
        scene = TriplaneScene(control=Control(ws=ws), planes=self.planes(ws, noise, compute), generator=self)
        how = RenderSettings(sampling=sampling, raw_size=raw_size, background=background, compute=compute)
        return self.render(scene, camera, how)

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


@dataclass(frozen=True, kw_only=True, eq=False)
class TriplaneScene:
    """Feature planes [B,3,C,R,R] and the control that made them."""

    control: Control
    planes: Tensor
    generator: EG3D

    @property
    def box_size(self) -> float:
        return self.generator.config.box_warp

    def density(self, points: Tensor) -> Tensor:
        """Raw density [B,N] at points [B,N,3] in head units, without color."""
        return self.generator.density_at(self.planes, points)[..., 0]

    def field(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Color features [B,N,C] in 0..1 and raw density [B,N] at points [B,N,3] in head units."""
        return self.generator.field(self.planes)(points)


def _shrunk(background: Tensor, size: int) -> Tensor:
    """A background image at the raw size; one color stays as it is."""
    if background.shape[-1] in (1, size):
        return background
    return nn.functional.interpolate(background, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
