"""Mattes that do not flicker: where the picture has stayed the same, the alphas of neighboring frames are averaged.

alpha'_t = sum_s w_s alpha_s / sum_s w_s over frame t and its neighbors; w_t = 1, w_s = exp(-(picture_s - picture_t)^2 / SAME^2)
at each pixel; what has moved or changed its light weighs nothing, so no edge is dragged along.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipelines.capture.frames.scan import frame_name
from pipelines.core.files import read_image
from pipelines.media.squares import Square, cut_square, inside

NEIGHBORS = 2
"""Frames on either side that are asked."""
MOST_S = 0.35
"""Neighbors further away in time are not."""
SAME = 2.5
"""Difference of gray levels (0..255, blurred) at which a neighbor's weight has fallen to 1/e."""
LOOK_PX = 128
"""Side of the pictures that are compared."""


@dataclass(frozen=True, kw_only=True)
class Steadied:
    alpha: np.ndarray
    """uint8 [H,W]."""
    change: float
    """Mean of |alpha - alpha'| in 0..1 around the border of the person: how much the single matte was off its neighbors."""


class Steady:
    """The single mattes of a capture and the frames they were made from; mattes lie in the squares `boxes`, a row a frame."""

    def __init__(self, *, frames: Path, mattes: Path, index: np.ndarray, time_s: np.ndarray, boxes: list[Square]) -> None:
        self.frames, self.mattes = frames, mattes
        self.index, self.time_s, self.boxes = index, time_s, boxes
        self._gray = lru_cache(2 * NEIGHBORS + 2)(self._read_gray)

    def at(self, row: int) -> Steadied:
        """The matte of a row, averaged with those of its neighbors where nothing has changed."""
        import cv2

        own = self._matte(row)
        size, here = own.shape[0], self._look(row, self.boxes[row])
        total, weights = own.astype(np.float32), np.ones_like(own, np.float32)
        for other in self._neighbors(row):
            off = cv2.GaussianBlur(np.abs(self._look(other, self.boxes[row]) - here), (0, 0), 2.0)
            weight = cv2.resize(np.exp(-((off / SAME) ** 2)), (size, size), interpolation=cv2.INTER_LINEAR)
            place = inside(self.boxes[row], self.boxes[other], size)
            weight *= cut_square(np.full((size, size), 255, np.uint8), place, size, outside=0) > 254
            total += weight * cut_square(self._matte(other), place, size)
            weights += weight
        alpha = total / weights
        rim = border_of(own)
        change = float(np.abs(alpha - own)[rim].mean() / 255) if rim.any() else 0.0
        return Steadied(alpha=np.round(alpha).astype(np.uint8), change=change)

    def _neighbors(self, row: int) -> list[int]:
        rows = range(max(0, row - NEIGHBORS), min(len(self.index), row + NEIGHBORS + 1))
        return [other for other in rows if other != row and abs(self.time_s[other] - self.time_s[row]) <= MOST_S]

    def _matte(self, row: int) -> np.ndarray:
        return read_image(self.mattes / f"{frame_name(self.index[row])}.png")

    def _look(self, row: int, box: Square) -> np.ndarray:
        """float32 [LOOK_PX,LOOK_PX] gray of a frame in `box`."""
        gray, scale = self._gray(row)
        return cut_square(gray, (box[0] * scale, box[1] * scale, box[2] * scale), LOOK_PX).astype(np.float32)

    def _read_gray(self, row: int, longest_px: int = 480) -> tuple[np.ndarray, float]:
        """The gray frame shrunk to `longest_px`, and by how much."""
        import cv2

        image = read_image(self.frames / f"{frame_name(self.index[row])}.jpg")
        scale = min(1.0, longest_px / max(image.shape[:2]))
        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), scale


def border_of(matte: np.ndarray, width_px: int = 25) -> np.ndarray:
    """bool [H,W]: within half of `width_px` of where uint8 `matte` crosses one half."""
    import cv2

    solid = (matte > 127).astype(np.uint8)
    return cv2.morphologyEx(solid, cv2.MORPH_GRADIENT, np.ones((width_px, width_px), np.uint8)) > 0
