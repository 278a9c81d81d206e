"""The families of generators: what a family is, and the only place that lists them.

A family is a folder `models/<family>/` whose module `family` wires its parts into one `FAMILY`, and one line in `MODULES`.
Everything else asks the `Family` and never its name. A family's modules are imported when it is first asked for.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from models.camera import Camera
from models.generator import Control, Discriminator, Generator, Rendering, RenderSettings, Role, Scene
from models.head_frame import HeadFrame
from models.heads.skinned_body import SkinnedBody
from models.published import RADIUS, PublishedNetwork

State = dict[str, Tensor]
"""Parameters and buffers by name."""
Regularizer = Callable[[Scene, torch.Generator], Tensor]
"""A scene and random numbers -> a loss [] that no picture is needed for."""

MODULES = {
    "eg3d": "models.eg3d.family", "panohead": "models.panohead.family", "faceshop": "models.faceshop.family",
    "portrait3d": "models.portrait3d.family",
}  # fmt: skip
"""Family -> the module that holds its `FAMILY`."""


class UnknownFields(ValueError):
    """A record has fields that the family's config does not know; `names` lists them."""

    def __init__(self, names: list[str]):
        super().__init__(f"unknown config fields: {', '.join(names)}")
        self.names = names


@dataclass(frozen=True, kw_only=True)
class Judge:
    """A discriminator and its part in the adversarial loss."""

    network: Discriminator
    weight: float = 1.0
    """Of its loss, for both players."""
    crop: tuple[float, float, float, float] | None = None
    """(left, top, right, bottom) over image size of what it sees; None: the whole image."""


class Personal(Protocol):
    """Makes a config one person's: no camera in the mapping, rays where the head is."""

    def __call__(self, config: Any, *, paint: int, from_prior: bool) -> Any:
        """`paint` texels of surface texture a pixel; `from_prior`: weights of a prior will follow, beside which the person
        gets free parameters of its own. What a family does not have is left out."""
        ...


class Transfer(Protocol):
    """Fits a prior's weights to a personal or resized network."""

    def __call__(self, state: State, own: State, *, resized: bool) -> State:
        """The prior's `state` with what the network of the initial state `own` has in addition; where the image size changed
        (`resized`), the parts that depend on it are `own`'s."""
        ...


class Phases(Protocol):
    """A family's own adversarial training, on images with masks and poses; `seen` is the number of images shown before.

    A draw and the fakes made of it are the family's own; fakes have the ws [B,num_ws,w_dim] of their pictures.
    """

    def dressed(self, config: Any, body: SkinnedBody | None) -> Any:
        """The config with the name of a user's `body`; ValueError where there is none and the config's own needs a file."""
        ...

    def wear(self, generator: Any, body: SkinnedBody) -> None:
        """ValueError where the generator was made with another one."""
        ...

    def draw(self, z: Tensor, labels: Tensor, poses: Tensor, seen: float, random: torch.Generator) -> Any:
        """Latents [B,z_dim], cameras [B,25] and poses [B,6] of the data -> what fakes are made of."""
        ...

    def fakes(self, generator: Any, draw: Any, how: RenderSettings, seen: float) -> Any: ...

    def against(self, fakes: Any, draw: Any, judge: Any, *, sigma: float, seen: float) -> Tensor:
        """The generator's loss []; `sigma` px of blur before the discriminator."""
        ...

    def judge(self, fakes: Any, draw: Any, real: State, labels: Tensor, judge: Any, *, sigma: float) -> Tensor:
        """The discriminator's loss [] on fakes and on `real` images and masks."""
        ...

    def penalty(self, real: State, labels: Tensor, judge: Any, *, sigma: float, gamma: float, mask_gamma: float) -> Tensor: ...

    def control(self, generator: Any, z: Tensor, labels: Tensor) -> Control:
        """What a sample under the data's cameras [B,25] shows."""
        ...

    def raw_size(self, config: Any, seen: float) -> int:
        """Rays a side."""
        ...

    def held(self, seen: float) -> tuple[Role, ...]:
        """Parameters of the generator that are no longer trained."""
        ...


class Guide(Protocol):
    """Teaches a prior's generator what its codes mean."""

    def __call__(
        self, generator: Any, rendering: Rendering, *, z: Tensor, condition: Tensor, camera: Camera, share: float
    ) -> Tensor:  # fmt: skip
        """A loss [] on a rendering of codes z [B,z_dim], mapped under labels `condition` [B,25], that B cameras see; `share` of
        the training is done."""
        ...


@dataclass(frozen=True, kw_only=True)
class Importer:
    """Reads a published network of the family; both raise `models.published.NotUnderstood`."""

    recognizes: Callable[[PublishedNetwork], bool]
    config: Callable[[PublishedNetwork], Any]
    distance: float = RADIUS
    """Of its published networks' cameras from the origin, in their units."""
    left_out: tuple[str, ...] = ()
    """How the names of tensors begin that are no part of our network, because they are not the authors' to give."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of generators; configs are instances of `config`, frozen dataclasses that check themselves."""

    name: str
    config: type
    build: Callable[[Any], Generator]
    """Random weights from PyTorch's global generator."""
    discriminators: Callable[[Any], Mapping[str, Judge]]
    """By name; random weights too."""
    resized: Callable[[Any, int], Any]
    """The same head at an image size of 128, 256 or 512."""
    personal: Personal
    fresh: Callable[[Any], Any]
    """What is trained from random weights where the prior's own config is made for people known by name."""
    transfer: Transfer
    frame: HeadFrame
    """The head space of its published networks; a prior's record has its own."""
    regularizers: Mapping[str, Regularizer]
    importer: Importer | None = None
    phases: Phases | None = None
    """Where its adversarial training is one of its own."""
    compose: Callable[[Any, Tensor, Mapping[str, Tensor]], Tensor] | None = None
    """Config, z [B,z_dim] and a face model's coefficients [B,K] by the name of a part -> z with these in place, for families
    whose z has such parts; ValueError for parts that it has not, or of another size."""
    guide: Callable[[Any, Path, HeadFrame, str], Guide] | None = None
    """Config, file of a face model, head space and device -> what teaches such codes; ValueError where these do not fit."""
    presets: Mapping[str, Any] = field(default_factory=dict)
    """Configs that a prior's training knows by name."""
    toy: Any
    """A config of a few thousand parameters and 32 px, for tests."""

    def decode(self, values: Mapping[str, Any]) -> Any:
        """The config of a JSON record; UnknownFields, or TypeError and ValueError from the config's own checks."""
        names = {one.name for one in fields(self.config)}
        if unknown := sorted(set(values) - names):
            raise UnknownFields(unknown)
        return self.config(**{name: _frozen(value) for name, value in values.items()})


class Families(Mapping[str, Family]):
    """`MODULES` as families, each imported when it is asked for."""

    def __getitem__(self, name: str) -> Family:
        return import_module(MODULES[name]).FAMILY

    def __contains__(self, name: object) -> bool:
        return name in MODULES

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


FAMILIES = Families()


def _frozen(value: Any) -> Any:
    """JSON lists as the tuples that a frozen config holds."""
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
