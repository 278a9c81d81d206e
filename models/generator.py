"""What every family of generator gives and takes: the only names that pipelines may rely on."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from models.camera import Camera


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
    """[B,K,h,w] class logits, or the one mask of the head, for families that have them."""


@dataclass(frozen=True, kw_only=True)
class LatentSpec:
    """Sizes of the latent spaces: z [B,z_dim], ws [B,num_ws,w_dim]."""

    z_dim: int
    w_dim: int
    num_ws: int


@dataclass(frozen=True, kw_only=True)
class DiscriminatorOutput:
    """logits [B,1], above 0 for "real"; pose where a family's discriminator predicts it."""

    logits: Tensor
    pose: Tensor | None = None


class Generator(Protocol):
    """A family of 3D-aware generators."""

    @property
    def latent(self) -> LatentSpec: ...

    @property
    def image_size(self) -> int: ...

    def mapping(
        self, z: Tensor, condition: Tensor | None = None, truncation: float = 1.0, cutoff: int | None = None
    ) -> Tensor: ...

    def synthesis(self, ws: Tensor, camera: Camera, *, background: Tensor | None = None) -> Rendering: ...


class Discriminator(Protocol):
    """Judges a rendering, or a dict of `image` and `image_raw`, seen by a camera."""

    def __call__(self, rendering: Rendering | dict[str, Tensor], camera: Camera | Tensor) -> DiscriminatorOutput: ...
