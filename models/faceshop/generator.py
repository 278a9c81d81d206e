"""3DFaceShop: a generator whose z holds the coefficients of a face model (arXiv 2209.05434; spec 4, 5 and 11). A StyleGAN2
backbone writes three planes, a decoder with two heads reads color, density and classes off their sum, rays are marched by
NeRF's rule, a residual super-resolution makes the image.

Notable choices:
- background and shoulders are part of the field, so every ray ends opaque. What the head covers, `alpha`, is what remains
  without the probability of the background; with a background of one's own only that is shown;
- a control with expression or light changes ws by the difference that these make in the mapping of its code. So latents that
  were fitted to a photograph, which no code maps to, are changed too;
- the mapping sees the frontal pose unless it is told another: planes do not change with the camera;
- parameter names are the official ones.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.camera import Camera
from models.compute_mode import EXACT, Compute
from models.faceshop.codes import replaced
from models.faceshop.config import Block, FaceShopConfig
from models.faceshop.marching import Marching
from models.faceshop.pose import POSE_DIM, frontal_angles, pose_angles
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
from models.networks.stylegan2.layers import listeners, normalize_second_moment
from models.networks.stylegan2.mapping import Mapping
from models.networks.stylegan2.resampling import resize
from models.networks.stylegan2.synthesis import Synthesis
from models.networks.superresolution import VARIANTS, ResidualSuperResolution
from models.rendering.blending import Samples, blended, face_share
from models.rendering.compositing import over
from models.rendering.renderer import render_rays
from models.volumes.decoders import SemanticDecoder
from models.volumes.planes import INNER, PLANE_AXES, as_texels, lookup

CHANNELS = (64, 64)
"""Of the super-resolution's blocks, officially."""
ROLES: dict[Role, tuple[str, ...]] = {
    "backbone": ("encoder.synthesis",), "mapping": ("encoder.mapping",), "decoder": ("decoder",), "superresolution": ("sr",),
}  # fmt: skip


class Encoder(nn.Module):
    """z, angles -> ws -> planes; exists for its name in the official state."""

    def __init__(self, config: FaceShopConfig):
        super().__init__()
        self.synthesis = Synthesis(
            w_dim=config.w_dim, resolution=config.plane_resolution, image_channels=3 * config.plane_channels,
            channel_base=config.channel_base, channel_max=config.channel_max,
        )  # fmt: skip
        self.mapping = Mapping(
            z_dim=config.z_dim, label_dim=POSE_DIM, w_dim=config.w_dim, layers=config.mapping_layers,
            num_ws=self.synthesis.num_ws, normalize_z=config.normalize_codes,
        )  # fmt: skip


class FaceShop(nn.Module):
    """A generator of portraits; see models.generator.Generator for what pipelines may use."""

    family = "faceshop"

    def __init__(self, config: FaceShopConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = SemanticDecoder(
            config.plane_channels, hidden=config.decoder_hidden, features=config.decoder_features, classes=config.classes
        )
        self.sr = ResidualSuperResolution(
            config.decoder_features, doublings=VARIANTS[config.superresolution].doublings, image_size=config.image_size,
            w_dim=config.w_dim, channels=config.superresolution_channels or CHANNELS, antialias=config.sr_antialias,
        )  # fmt: skip

    @property
    def latent(self) -> LatentSpec:
        return LatentSpec(z_dim=self.config.z_dim, w_dim=self.config.w_dim, num_ws=self.encoder.synthesis.num_ws)

    @property
    def image_size(self) -> int:
        return self.config.image_size

    @property
    def raw_size(self) -> int:
        return self.config.neural_rendering_resolution

    def mapping(self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """ws [B,num_ws,w_dim] of z [B,z_dim]; `condition` [B,25] is a camera label, None the frontal one."""
        return self.encoder.mapping(self._seen_code(z), self._seen_angles(z, condition), truncation, cutoff)

    def mapping_of_layers(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """ws [B,num_ws,w_dim] of a code for every layer, z [B,num_ws,z_dim] ("Z+"); `condition` [B,25]."""
        rows = None if condition is None else condition.repeat_interleave(z.shape[1], 0)
        codes = z.flatten(0, 1)
        return self.encoder.mapping.w(self._seen_code(codes), self._seen_angles(codes, rows)).unflatten(0, z.shape[:2])

    @property
    def mean_latent(self) -> Tensor:
        return self.encoder.mapping.w_avg

    def track(self, w: Tensor) -> None:
        self.encoder.mapping.track(w)

    def latents(self, control: Control) -> Tensor:
        """ws [B,num_ws,w_dim] with the expression and the light that the control asks for, in the face model's units.

        ValueError where it asks for some without saying which code the latents are of.
        """
        parts: tuple[tuple[Block, Tensor | None, float], ...] = (
            ("expression", control.deformation, self.config.expression_scale),
            ("light", control.illumination, self.config.light_scale),
        )
        if all(values is None for _, values, _ in parts):
            return control.ws
        if control.code is None:
            raise ValueError("expression and light are parts of a code: say in Control.code which one ws were made of")
        code = control.code
        for block, values, scale in parts:
            code = code if values is None else replaced(self.config, code, block, values / scale)
        return control.ws + self.mapping(code, control.label) - self.mapping(control.code, control.label)

    @torch.no_grad()
    def backbone_share(self, ws: Tensor) -> Tensor:
        """[1,3,C,R,R] the planes of ws [1,num_ws,w_dim]."""
        return self.planes(ws)

    def planes(self, ws: Tensor, noise: Noise = "const", compute: Compute = EXACT) -> Tensor:
        """[B,3,C,R,R] of ws [B,num_ws,w_dim]."""
        return self.encoder.synthesis(ws, noise, compute).unflatten(1, (3, -1))

    def features(self, planes: Tensor) -> Callable[[Tensor], Tensor]:
        """The sum [B,N,C] of what points [B,N,3] find in the planes."""
        texels, axes, box = as_texels(planes), PLANE_AXES[self.config.plane_axes], self.config.box_warp + 2 * INNER
        return lambda points: len(axes) * lookup(texels, points, axes, box, to_corners=True)

    def prepare(
        self, control: Control, *, frozen: Tensor | None = None, noise: Noise = "const", compute: Compute = EXACT
    ) -> "FaceShopScene":
        """The planes of `control`; a scene serves any number of cameras."""
        ws = self.latents(control)
        planes = self.planes(ws, noise, compute) if frozen is None else frozen.expand(len(ws), -1, -1, -1, -1)
        return FaceShopScene(control=control, ws=ws, planes=planes, generator=self, noise=noise)

    def blend(self, still: "FaceShopScene", moving: "FaceShopScene") -> "BlendedScene":
        """The face of `moving` in all else of `still`: one head for all, or a head for each."""
        return BlendedScene(still=still, moving=moving)

    def render(
        self, scene: "FaceShopScene | BlendedScene", camera: Camera, how: RenderSettings = RenderSettings()
    ) -> Rendering:
        """The scene as its cameras see it, with the background that belongs to it or before `how.background`."""
        size, sampling, count = how.raw_size or self.raw_size, how.sampling or self.config.sampling(), len(camera)
        rays = rays_of(camera, size, how.rays, len(scene.control))
        march = Marching(features=self.config.decoder_features, matte=self.config.matte, alone=how.background is not None)
        rendered = render_rays(
            march.field(scene.samples), *rays, sampling, self.config.volume, how.compute, integrate=march.integrate
        )
        features, classes, depth, alpha = as_images(rendered, how.rays, size, empty=(0.0, 0.0, 0.0, 0.0), count=count)
        raw = image = 2 * features[:, :3] - 1
        if not how.raw_only:
            image = self.sr(features, for_each(scene.image_ws, count), scene.noise, how.compute, how.patch)
        if how.background is not None:
            image, raw = over(image, alpha, how.background), over(raw, alpha, _shrunk(how.background, size))
        if how.raw_only:
            image = raw
        return Rendering(image=image, raw=raw, depth=depth, alpha=alpha, semantics=classes)

    def groups(self) -> dict[Role, list[nn.Parameter]]:
        """The parameters by what they are for."""
        return grouped(self, ROLES)

    def listeners(self) -> list[Listener]:
        """Layers that read w; nothing is a person's own."""
        return listeners(self, self.config.w_dim, deaf=("encoder.mapping", "decoder"), own={})

    def _seen_code(self, z: Tensor) -> Tensor:
        if self.config.normalize_codes:
            return z
        noise, coefficients = z[:, : self.config.noise_dim], z[:, self.config.noise_dim :]
        return torch.cat([normalize_second_moment(noise.float()), coefficients.float()], 1)

    def _seen_angles(self, z: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None or self.config.c_gen_conditioning_zero:
            return frontal_angles(len(z), z)
        return pose_angles(Camera.from_label(condition))


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceShopScene:
    """Feature planes [B,3,C,R,R], the control that asked for them and the latents [B,num_ws,w_dim] that made them."""

    control: Control
    ws: Tensor
    planes: Tensor
    generator: FaceShop
    noise: Noise = "const"

    @property
    def image_ws(self) -> Tensor:
        """What super-resolution reads."""
        return self.ws

    @property
    def box_size(self) -> float:
        return self.generator.config.box_warp

    def samples(self, points: Tensor) -> Samples:
        """What is at points [B,N,3] in head units."""
        features, density, classes = self.generator.decoder(self.generator.features(self.planes)(points))
        return Samples(features=features, density=F.softplus(density), classes=classes)

    def density(self, points: Tensor) -> Tensor:
        """Raw density [B,N] at points [B,N,3]: as elsewhere, softplus(raw - 1) is what a unit of length stops."""
        return 1 + self.generator.decoder.density(self.generator.features(self.planes)(points))

    def field(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Color features [B,N,C] and raw density [B,N] at points [B,N,3]."""
        return raw_field(self.samples(points))


@dataclass(frozen=True, kw_only=True, eq=False)
class BlendedScene:
    """The face of one scene in all else of another, of which there is one head or one for each (section 4.4).

    Super-resolution reads the still head's latents, so that nothing but the face moves there either.
    """

    still: FaceShopScene
    moving: FaceShopScene

    @property
    def control(self) -> Control:
        return self.moving.control

    @property
    def image_ws(self) -> Tensor:
        return self.still.ws.expand_as(self.moving.ws)

    @property
    def noise(self) -> Noise:
        return self.still.noise

    @property
    def box_size(self) -> float:
        return self.moving.box_size

    def samples(self, points: Tensor) -> Samples:
        """Both fields at points [B,N,3], weighed by the probability of a face."""
        apart = _still_at(self.still, points)
        moving = self.moving.samples(points)
        return blended(apart, moving, face_share(apart, moving))

    def density(self, points: Tensor) -> Tensor:
        """Raw density [B,N] at points [B,N,3]."""
        return self.field(points)[1]

    def field(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Color features [B,N,C] and raw density [B,N] at points [B,N,3]."""
        return raw_field(self.samples(points))


def _still_at(scene: FaceShopScene, points: Tensor) -> Samples:
    """One still head serves all rows of points."""
    if len(scene.planes) == len(points):
        return scene.samples(points)
    one = scene.samples(points.flatten(0, 1)[None])
    return Samples(
        features=one.features[0].unflatten(0, points.shape[:2]), density=one.density[0].unflatten(0, points.shape[:2]),
        classes=one.classes[0].unflatten(0, points.shape[:2]),
    )  # fmt: skip


def raw_field(samples: Samples) -> tuple[Tensor, Tensor]:
    """Features [B,N,C] and the raw density [B,N] of which softplus(raw - 1) is the samples' density."""
    dense = samples.density
    inverse = torch.where(dense > 20, dense, torch.log(torch.expm1(dense.clamp(1e-12, 20))))
    return samples.features, 1 + inverse


def _shrunk(background: Tensor, size: int) -> Tensor:
    """A background image at the raw size; one color stays as it is."""
    return background if background.shape[-1] in (1, size) else resize(background, size)
