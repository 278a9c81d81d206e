"""What every family of generator gives and takes: the only names that pipelines may rely on.

A picture is made in two calls. `prepare` turns a control (who makes which face) into a scene, which no camera is part of;
`render` shows the scene to cameras. A viewer that orbits keeps the scene, a driven video makes one a frame.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from models.camera import Camera
from models.compute_mode import EXACT, Compute
from models.latent_directions import Listener
from models.rendering.sampling import Sampling

Role = Literal["backbone", "mapping", "decoder", "free_volume", "texture", "superresolution", "deformation", "mixing", "pose"]
"""What a parameter is for. `free_volume` and `texture` are looked up, not multiplied: they bear higher learning rates; `mixing`
weighs them by w; `pose` estimates how cameras or necks are turned and is no part of a picture."""
Noise = Literal["none", "const", "random"]
"""Noise of the convolutions: none, the stored one, or PyTorch's global generator's."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """What is asked of a generator, a row a picture; slots that a family does not know stay None."""

    ws: Tensor
    """[B,num_ws,w_dim] latents."""
    deformation: Tensor | None = None
    """[B,D] expression code and body pose, in the order of the family."""
    illumination: Tensor | None = None
    """[B,L] light."""
    label: Tensor | None = None
    """[B,C] the label that conditions the network, where it sees one."""
    code: Tensor | None = None
    """[B,z_dim] what ws were made of, in families whose z has parts that mean something: there `deformation` and `illumination`
    take the place of its own."""

    def __len__(self) -> int:
        return len(self.ws)

    def __getitem__(self, rows: slice | Tensor | list[int]) -> "Control":
        """The chosen rows."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: part[rows] for name, part in parts.items() if part is not None})


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """How a scene is rendered; the defaults are the configuration's own."""

    sampling: Sampling | None = None
    """None: as many samples a ray as the configuration says, at interval centers."""
    raw_size: int | None = None
    """Rays a side; None: the configuration's."""
    rays: Tensor | None = None
    """[B,K] row-major numbers of the only rays that are marched, the others are empty; None: all of them. Over all pictures of
    a head, one below the other, where several cameras see it."""
    background: Tensor | None = None
    """[B,3,1,1] or [B,3,H,W] in [-1,1] behind image and raw image; None: as the network paints it, or black."""
    raw_only: bool = False
    """No super-resolution: `image` is the raw image."""
    patch: bool = False
    """The cameras see parts of pictures: what `raw_size` rays a side show is enlarged as it is, not fitted to `image_size`."""
    compute: Compute = EXACT


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """One batch of rendered images; colors in [-1,1], alpha in 0..1."""

    image: Tensor
    """[B,3,H,W] after super-resolution."""
    raw: Tensor
    """[B,3,h,w] as the rays saw it."""
    depth: Tensor
    """[B,1,h,w] distance along the ray, in head units."""
    alpha: Tensor
    """[B,1,h,w] share of the ray that hit something."""
    semantics: Tensor | None = None
    """[B,K,h,w] probabilities of classes, or the one mask of the head, for families that have them."""


@dataclass(frozen=True, kw_only=True)
class LatentSpec:
    """Sizes of the latent spaces: z [B,z_dim], ws [B,num_ws,w_dim]."""

    z_dim: int
    w_dim: int
    num_ws: int


@dataclass(frozen=True, kw_only=True)
class DiscriminatorOutput:
    """logits [B,1], above 0 for "real"; pose and latent code where a family's discriminator guesses them."""

    logits: Tensor
    pose: Tensor | None = None
    latent: Tensor | None = None


class Animator(Protocol):
    """The personal part of an avatar: what a tracked face asks of the generator."""

    def control(self, expression: Tensor, head_pose: Tensor | None = None) -> Control:
        """Raw scores [B,E] and, for families that bend the neck, the pose of the head in the camera [B,4,4] -> a control."""
        ...


class Scene(Protocol):
    """A head as it is, whoever looks at it; what `Generator.prepare` makes and `Generator.render` takes."""

    @property
    def control(self) -> Control: ...

    @property
    def box_size(self) -> float:
        """Side of the cube around the origin in which there is anything, in the family's units."""
        ...

    def density(self, points: Tensor) -> Tensor:
        """points [B,N,3] -> raw density [B,N], as `field` has it or before it is tidied up; for regularizers."""
        ...

    def field(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """points [B,N,3] in the family's units -> colors or color features [B,N,C], raw density [B,N]."""
        ...


class Network(Protocol):
    """What pipelines use of an nn.Module; every generator and discriminator is one."""

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Any: ...

    def to(self, device: torch.device | str) -> Self: ...

    def eval(self) -> Self: ...

    def requires_grad_(self, requires_grad: bool = True) -> Self: ...


@runtime_checkable
class Generator(Network, Protocol):
    """A family of 3D-aware generators."""

    @property
    def family(self) -> str:
        """Its name in models.families.FAMILIES."""
        ...

    @property
    def config(self) -> Any: ...

    @property
    def latent(self) -> LatentSpec: ...

    @property
    def image_size(self) -> int: ...

    @property
    def raw_size(self) -> int: ...

    def mapping(
        self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Tensor: ...

    @property
    def mean_latent(self) -> Tensor:
        """[w_dim] running mean of w."""
        ...

    def track(self, w: Tensor) -> None:
        """Moves the mean latent towards w [B,w_dim]; training calls it once a step."""
        ...

    def backbone_share(self, ws: Tensor) -> Tensor:
        """What the backbone contributes to the scenes of ws [1,num_ws,w_dim], for `prepare`; without gradient."""
        ...

    def prepare(
        self, control: Control, *, frozen: Tensor | None = None, noise: Noise = "const", compute: Compute = EXACT
    ) -> Scene:
        """The scene of B heads. `frozen` takes the place of what the backbone would compute, for every head."""
        ...

    def render(self, scene: Any, camera: Camera, how: RenderSettings = ...) -> Rendering:
        """What V cameras a head see of B heads: [B*V] cameras, head by head."""
        ...

    def groups(self) -> Mapping[Role, list[nn.Parameter]]:
        """Every parameter, once, by what it is for."""
        ...

    def listeners(self) -> list[Listener]:
        """The layers that read w, with how much of each is one person's own."""
        ...


def rendered(generator: Generator, control: Control, camera: Camera, how: RenderSettings = RenderSettings()) -> Rendering:
    """Both calls in one, for a scene that only these cameras see."""
    return generator.render(generator.prepare(control, compute=how.compute), camera, how)


class Discriminator(Network, Protocol):
    """Judges a rendering, or a dict of `image` and `image_raw`, seen by a camera."""

    @property
    def group_size(self) -> int:
        """Images of a batch that are compared with each other."""
        ...

    @property
    def needs_mask(self) -> bool:
        """Whether it judges the head's mask too."""
        ...

    def __call__(
        self, rendering: Rendering | dict[str, Tensor], camera: Camera | Tensor, random: torch.Generator | None = None
    ) -> DiscriminatorOutput:
        """`random`: numbers for what it blurs; None: PyTorch's global ones."""
        ...


def scattered(values: Tensor, rays: Tensor, count: int, empty: float) -> Tensor:
    """[B,count,C] with values [B,K,C] at the ray numbers [B,K], `empty` elsewhere."""
    full = values.new_full((len(values), count, values.shape[2]), empty)
    return full.scatter(1, rays[..., None].expand_as(values), values)


def rays_of(camera: Camera, size: int, rays: Tensor | None, heads: int) -> tuple[Tensor, Tensor]:
    """Origins and directions [B,K,3] of all rays of pictures of `size` by V cameras a head, or of the ray numbers [B,K]."""
    origins, directions = (values.reshape(heads, -1, 3) for values in camera.rays(size))
    if rays is None:
        return origins, directions
    take = rays[..., None].expand(-1, -1, 3)
    return origins.gather(1, take), directions.gather(1, take)


def as_images(
    rendered: tuple[Tensor, ...], rays: Tensor | None, size: int, empty: tuple[float, ...], count: int
) -> list[Tensor]:
    """`count` images [B*V,C,size,size] of values [B,K,C] at all rays, or at some of them, `empty` elsewhere."""
    if rays is not None:
        total = size * size * count // len(rays)
        rendered = tuple(scattered(one, rays, total, value) for one, value in zip(rendered, empty, strict=True))
    return [one.reshape(count, size * size, -1).mT.reshape(count, -1, size, size) for one in rendered]


def for_each(values: Tensor, count: int) -> Tensor:
    """Rows [B,...] of heads for the `count` = B*V pictures of them."""
    return values if len(values) == count else values.repeat_interleave(count // len(values), 0)


def grouped(module: nn.Module, prefixes: Mapping[Role, tuple[str, ...]]) -> dict[Role, list[nn.Parameter]]:
    """Parameters by role: each belongs to the role whose prefix of its name is longest; ValueError where none fits."""
    found: dict[Role, list[nn.Parameter]] = {role: [] for role in prefixes}
    for name, parameter in module.named_parameters():
        fitting: list[tuple[str, Role]] = [
            (prefix, role) for role, every in prefixes.items() for prefix in every if name.startswith(prefix)
        ]
        if not fitting:
            raise ValueError(f"the parameter {name} has no role")
        _, role = max(fitting, key=lambda pair: len(pair[0]))
        found[role].append(parameter)
    return {role: own for role, own in found.items() if own}
