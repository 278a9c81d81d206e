"""A family that a stranger could have written: an MLP whose density starts from a ball, enlarged by interpolation; two small
discriminators, of the whole picture and of the face. Tests register it by one line in `models.families.MODULES`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.camera import LABEL_DIM, Camera
from models.compute_mode import EXACT, Compute
from models.families import Family, Judge
from models.generator import (
    Control,
    DiscriminatorOutput,
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
from models.head_frame import HeadFrame
from models.latent_directions import Listener
from models.rendering.compositing import over
from models.rendering.renderer import render_rays
from models.rendering.sampling import Jitter, Sampling, Volume
from models.training.regularizers import smooth_density

ROLES: dict[Role, tuple[str, ...]] = {
    "mapping": ("mapper",), "backbone": ("backbone",), "decoder": ("hidden", "out"), "superresolution": ("sharpen",),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BallConfig:
    """Sizes of the family's networks."""

    latent: int = 6
    hidden: int = 24
    image_size: int = 32
    neural_rendering_resolution: int = 16
    samples: int = 6
    radius: float = 0.27

    @property
    def box_size(self) -> float:
        return 1.0

    def sampling(self, jitter: Jitter = "mid") -> Sampling:
        return Sampling(coarse=self.samples, fine=self.samples, jitter=jitter)


class Balls(nn.Module):
    """w -> a code -> an MLP of points: color and density."""

    family = "balls"
    mean_w: Tensor

    def __init__(self, config: BallConfig):
        super().__init__()
        self.config = config
        self.mapper = nn.Linear(config.latent, config.latent)
        self.backbone = nn.Linear(config.latent, config.hidden)
        self.hidden, self.out = nn.Linear(3, config.hidden), nn.Linear(config.hidden, 4)
        self.sharpen = nn.Conv2d(3, 3, 3, padding=1)
        self.register_buffer("mean_w", torch.zeros(config.latent))

    @property
    def latent(self) -> LatentSpec:
        return LatentSpec(z_dim=self.config.latent, w_dim=self.config.latent, num_ws=1)

    @property
    def image_size(self) -> int:
        return self.config.image_size

    @property
    def raw_size(self) -> int:
        return self.config.neural_rendering_resolution

    @property
    def mean_latent(self) -> Tensor:
        return self.mean_w

    @torch.no_grad()
    def track(self, w: Tensor) -> None:
        self.mean_w.lerp_(w.mean(0), 0.01)

    def mapping(self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        return self.mean_w.lerp(self.mapper(z), truncation)[:, None]

    @torch.no_grad()
    def backbone_share(self, ws: Tensor) -> Tensor:
        return self.backbone(ws[:, 0])

    def prepare(
        self, control: Control, *, frozen: Tensor | None = None, noise: Noise = "const", compute: Compute = EXACT
    ) -> "Ball":
        code = self.backbone(control.ws[:, 0]) if frozen is None else frozen.expand(len(control), -1)
        return Ball(control=control, code=code, generator=self)

    def render(self, scene: "Ball", camera: Camera, how: RenderSettings = RenderSettings()) -> Rendering:
        size, heads, count = how.raw_size or self.raw_size, len(scene.control), len(camera)
        rays = rays_of(camera, size, how.rays, heads)
        side, sampling = size if how.rays is None else None, how.sampling or self.config.sampling()
        rendered = render_rays(scene.field, *rays, sampling, Volume(), how.compute, side=side)
        raw, depth, alpha = as_images(rendered, how.rays, size, empty=(-1.0, 0.0, 0.0), count=count)
        image = raw
        if not how.raw_only:
            wide = F.interpolate(raw, scale_factor=2) if how.patch else F.interpolate(raw, size=(self.image_size,) * 2)
            image = wide + 0.1 * self.sharpen(wide)
        if how.background is not None:
            image, raw = over(image, alpha, how.background), over(raw, alpha, how.background)
        return Rendering(image=image, raw=raw, depth=depth, alpha=alpha)

    def groups(self) -> Mapping[Role, list[nn.Parameter]]:
        return grouped(self, ROLES)

    def listeners(self) -> list[Listener]:
        return []


@dataclass(frozen=True, kw_only=True, eq=False)
class Ball:
    """A code [B,H] and the control that made it."""

    control: Control
    code: Tensor
    generator: Balls

    @property
    def box_size(self) -> float:
        return self.generator.config.box_size

    def field(self, points: Tensor) -> tuple[Tensor, Tensor]:
        network = self.generator
        values = network.out(torch.sin(3 * network.hidden(points) + for_each(self.code, len(points))[:, None]))
        solid = 30 * (network.config.radius - points.norm(dim=-1))
        return torch.sigmoid(values[..., 1:]), solid + values[..., 0]

    def density(self, points: Tensor) -> Tensor:
        return self.field(points)[1]


class SmallJudge(nn.Module):
    """The mean of a few filters over image and raw image, and the camera."""

    group_size, needs_mask = 1, False

    def __init__(self) -> None:
        super().__init__()
        self.image, self.raw = nn.Conv2d(3, 4, 5, stride=2), nn.Conv2d(3, 4, 5)
        self.last = nn.Linear(8 + LABEL_DIM, 1)

    def forward(
        self, rendering: Rendering | dict[str, Tensor], camera: Camera | Tensor, random: torch.Generator | None = None
    ) -> DiscriminatorOutput:
        if isinstance(rendering, Rendering):
            rendering = {"image": rendering.image, "image_raw": rendering.raw}
        label = camera.label() if isinstance(camera, Camera) else camera
        seen = (self.image(rendering["image"]), self.raw(rendering["image_raw"]))
        means = [F.leaky_relu(values, 0.2).mean((2, 3)) for values in seen]
        return DiscriminatorOutput(logits=self.last(torch.cat([*means, label], 1)))


def discriminators(config: BallConfig) -> dict[str, Judge]:
    face = Judge(network=SmallJudge(), weight=0.5, crop=(0.25, 0.25, 0.75, 0.75))
    return {"whole": Judge(network=SmallJudge()), "face": face}


def resized(config: BallConfig, size: int) -> BallConfig:
    return config if size == config.image_size else replace(config, image_size=size, neural_rendering_resolution=size // 2)


def personal(config: BallConfig, *, paint: int, from_prior: bool) -> BallConfig:
    return config


def fresh(config: BallConfig) -> BallConfig:
    return config


def transfer(state: dict[str, Tensor], own: dict[str, Tensor], *, resized: bool) -> dict[str, Tensor]:
    return state


FAMILY = Family(
    name="balls",
    config=BallConfig,
    build=Balls,
    discriminators=discriminators,
    resized=resized,
    personal=personal,
    fresh=fresh,
    transfer=transfer,
    frame=HeadFrame.of_scale(meters_per_unit=0.32, crop_extent=0.85),
    regularizers={"density": smooth_density},
    presets={"balls": BallConfig()},
    toy=BallConfig(),
)
