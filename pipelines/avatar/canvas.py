"""The picture that a drive shows, and where the generator's square lies in it.

Everything the generator draws has the square's side and is laid into the canvas. How large a part of the film the canvas
is: `head`, the square fills the shorter side; `bust`, head and shoulders; `source`, the film's whole frame.

Notable choices:
- a canvas other than the square alone is a window in the film's frame. It lies inside the film as far as that is large enough,
  and shrinks to the film, but never below the square;
- the head may leave its place in such a canvas, so the square follows it by whole pixels (Painter.moves): no hair ends at an
  edge that nobody sees. At its edges the square fades out, over BOTTOM where the neck goes on in the film.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from pipelines.face.matte_regions import falling
from pipelines.media.squares import Square

Shown = Literal["head", "bust", "source"]
Aspect = Literal["1:1", "4:5", "9:16", "16:9"]
BUST = 1.6
"""Shorter side of a bust, in sides of the square."""
ABOVE = {"head": 0.15, "bust": 0.1}
"""Share of what a canvas shows above and below the square that lies above it."""
BOTTOM, EDGE = 0.06, 0.02
"""Over these shares of its side the square fades out below, and at the other edges."""
Place = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """A picture of `width` times `height` px with the square of `side` px at (x, y)."""

    width: int
    height: int
    x: int = 0
    y: int = 0
    side: int

    @staticmethod
    def of_square(side: int) -> "Canvas":
        """The square alone."""
        return Canvas(width=side, height=side, side=side)

    @property
    def is_square(self) -> bool:
        """Whether it is the square alone."""
        return (self.width, self.height, self.x, self.y) == (self.side, self.side, 0, 0)

    @property
    def shape(self) -> tuple[int, int]:
        """Height, width."""
        return self.height, self.width

    def from_film(self, box: Square) -> np.ndarray:
        """[2,3] from px of the film (corners of pixels), in which the square is `box`, to px of the canvas."""
        scale = self.side / box[2]
        return np.array([[scale, 0.0, self.x - scale * box[0]], [0.0, scale, self.y - scale * box[1]]])


def canvas_in(shown: Shown, aspect: Aspect | None, size: int, film: tuple[int, int], box: Square) -> Canvas:
    """The canvas whose shorter side is `size` px, for a film of `film` px (width, height) in which the square is `box`.

    `source` has the film's aspect; the others 1:1 where none is given.
    """
    x0, y0, width, height = (0.0, 0.0, *film) if shown == "source" else _window(shown, aspect or "1:1", film, box)
    scale = size / min(width, height)
    side = max(2, round(scale * box[2]))
    return Canvas(
        width=size if width <= height else even(size * width / height), x=round(scale * (box[0] - x0)), side=side,
        height=size if height <= width else even(size * height / width), y=round(scale * (box[1] - y0)),
    )  # fmt: skip


def _window(shown: Literal["head", "bust"], aspect: Aspect, film: tuple[int, int], box: Square) -> tuple[float, ...]:
    """x0, y0, width, height in px of the film."""
    across, down = (int(part) for part in aspect.split(":"))
    ratio = np.array([across, down]) / min(across, down)
    room = BUST if shown == "bust" else 1.0
    within = min(film / ratio) / box[2]
    width, height = ratio * box[2] * max(1.0, min(room, within))
    x0 = box[0] + (box[2] - width) / 2
    y0 = box[1] - ABOVE[shown] * (height - box[2])
    return _kept(x0, width, film[0], box[0], box[2]), _kept(y0, height, film[1], box[1], box[2]), width, height


def _kept(start: float, length: float, film: int, box: float, side: float) -> float:
    """The start of a window moved into the film, as far as it keeps the square inside."""
    inside = np.clip(start, 0, film - length) if length <= film else (film - length) / 2
    return float(np.clip(inside, box + side - length, box))


def even(length: float) -> int:
    """The even number next to a length: video codecs want no other."""
    return 2 * round(length / 2)


@lru_cache(maxsize=4)
def fade(side: int) -> np.ndarray:
    """float32 [side,side,1]: 1 inside the square, falling to 0 at its edges."""
    at = (np.arange(side, dtype=np.float32) + 0.5) / side
    upper, lower = falling(1 - at, 1 - EDGE, 1), falling(at, 1 - BOTTOM, 1)
    aside = falling(np.maximum(at, 1 - at), 1 - EDGE, 1)
    return (upper * lower)[:, None, None] * aside[None, :, None]


def laid(front: np.ndarray, behind: np.ndarray, place: Place) -> np.ndarray:
    """Premultiplied `front` [...,h,w,4] over `behind` [...,H,W,4] at x, y of its pixels; what lies beyond is left out."""
    (x, y), (height, width), (tall, wide) = place, front.shape[-3:-1], behind.shape[-3:-1]
    top, left, bottom, right = max(y, 0), max(x, 0), min(y + height, tall), min(x + width, wide)
    result = np.broadcast_to(behind, (*front.shape[:-3], *behind.shape[-3:])).copy()
    if top < bottom and left < right:
        part, there = front[..., top - y : bottom - y, left - x : right - x, :], result[..., top:bottom, left:right, :]
        there[:] = part + (1.0 - part[..., 3:]) * there
    return result
