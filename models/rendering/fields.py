"""Radiance fields as renderers see them: all at once, or density first and colors where they are seen."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

Field = Callable[[Tensor], tuple[Tensor, Tensor]]
"""points [B,M,3] -> color features [B,M,C] in 0..1 and raw density [B,M]."""


@runtime_checkable
class SteppedField(Protocol):
    """A Field whose colors can wait until it is known which points are seen."""

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]: ...

    def first(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """What colors are made of [B,M,H], and raw density [B,M], of points [B,M,3]."""
        ...

    def colors(self, hidden: Tensor) -> Tensor:
        """[R,C] of rows [R,H] of what `first` gave."""
        ...


@dataclass(frozen=True)
class WholeField:
    """Any field, its colors computed for every point."""

    field: Field

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return self.field(points)

    def first(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return self.field(points)

    def colors(self, hidden: Tensor) -> Tensor:
        return hidden


def stepped(field: Field) -> SteppedField:
    return field if isinstance(field, SteppedField) else WholeField(field)


def points_on(origins: Tensor, directions: Tensor, depths: Tensor) -> Tensor:
    """[B,N*S,3] at origins + depths * directions, of rays [B,N,3] and depths [B,N,S]."""
    return (origins[:, :, None] + depths[..., None] * directions[:, :, None]).flatten(1, 2)
