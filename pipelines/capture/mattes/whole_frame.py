"""The person's alpha beyond the square around the head: arms and chest for the families that show them.

Notable choices: a stored matte lies on the pixel grid of its square, which it carries on up to a square's side in all
directions, as far as the frame goes; so the refined alpha inside the square is stored as it is, and any crop can be cut of one
picture. Outside, mediapipe's mask of the larger piece does, without closed-form matting: no hair is there. Whoever else is in
view is not joined to the person and is left out.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.capture.mattes.crop_squares import region
from pipelines.capture.mattes.person import REGION_PX, MatteSettings, Matting, given_matte, matting
from pipelines.core.files import read_image, write_image
from pipelines.core.stage import Progress
from pipelines.media.squares import Square

REACH = 1.0
"""How far a stored matte goes beyond its square, in sides of it."""
FRINGE_PX = 15
"""Soft alpha this near to the person belongs to them."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The pixel grid of a stored matte: that of its square, carried on."""

    square: Square
    left: int
    """Columns before the square's first."""
    top: int
    width: int
    height: int

    @property
    def pixel(self) -> float:
        """Width of a pixel of the matte in px of the frame."""
        return self.square[2] / REGION_PX

    @property
    def box(self) -> tuple[float, float, float]:
        """x0, y0 in px of the frame and the width of a pixel."""
        return self.square[0] - self.left * self.pixel, self.square[1] - self.top * self.pixel, self.pixel

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """A picture of the frame on this grid; 0 beyond its border."""
        import cv2

        x0, y0, pixel = self.box
        matrix = np.array([[pixel, 0, 0.5 * pixel + x0 - 0.5], [0, pixel, 0.5 * pixel + y0 - 0.5]])
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        return cv2.warpAffine(picture, matrix, (self.width, self.height), flags=flags, borderMode=cv2.BORDER_CONSTANT)


def grid_of(points: np.ndarray, frame_size: tuple[int, int]) -> Grid:
    """The grid of the matte of a face's [478,3] points."""
    square, most = region(points), round(REACH * REGION_PX)
    pixel = square[2] / REGION_PX
    before = [min(max(int(np.floor(corner / pixel)), 0), most) for corner in square[:2]]
    after = [
        min(max(int(np.ceil((side - corner) / pixel)) - REGION_PX, 0), most)
        for side, corner in zip(frame_size, square[:2], strict=True)
    ]
    return Grid(
        square=square, left=before[0], top=before[1], width=before[0] + REGION_PX + after[0],
        height=before[1] + REGION_PX + after[1],
    )  # fmt: skip


def write_whole_mattes(partial: Path, frames: Scan, size: tuple[int, int], progress: Progress) -> dict[str, Any]:
    """Write mattes/NNNNNN.png of the frames; those already there are kept. Figures: their bytes."""
    coarse = matting(MatteSettings(refine=False))
    with progress.task("whole mattes", len(frames.index)) as task:
        for index, points in zip(frames.index, frames.points, strict=True):
            path = partial / "mattes" / f"{frame_name(index)}.png"
            if not path.exists():
                write_image(path, whole_matte(partial, frame_name(index), grid_of(points, size), coarse))
            task.advance()
    return {"bytes": sum(path.stat().st_size for path in (partial / "mattes").glob("*.png"))}


def whole_matte(partial: Path, name: str, grid: Grid, coarse: Matting) -> np.ndarray:
    """uint8 [height,width] on the grid: work/mattes inside the square, `coarse` beyond it."""
    square = read_image(partial / "work" / "mattes" / f"{name}.png")
    if (grid.height, grid.width) == square.shape:
        return square
    alpha = partial / "work" / "alphas" / f"{name}.png"
    given = given_matte(alpha, grid.square) is not None
    result = grid.cut(read_image(alpha)) if given else _beyond(partial / "frames" / f"{name}.jpg", grid, coarse)
    inside = slice(grid.top, grid.top + REGION_PX), slice(grid.left, grid.left + REGION_PX)
    result[inside] = square
    return result if given else _joined_to(result, inside)


def _beyond(frame: Path, grid: Grid, coarse: Matting) -> np.ndarray:
    """uint8 [height,width] of the coarse mask, 0 beyond the border of the frame."""
    image = read_image(frame)
    shown = grid.cut(np.full(image.shape[:2], 255, np.uint8))
    return np.where(shown > 0, np.round(255 * coarse(grid.cut(image))), 0).astype(np.uint8)


def _joined_to(alpha: np.ndarray, inside: tuple[slice, slice]) -> np.ndarray:
    """The alpha without what is not joined to the person `inside` the square."""
    import cv2

    _, labels = cv2.connectedComponents((alpha > 127).astype(np.uint8))
    person = np.isin(labels, np.unique(labels[inside][labels[inside] > 0]))
    near = cv2.dilate(person.astype(np.uint8), np.ones((FRINGE_PX, FRINGE_PX), np.uint8))
    near[inside] = 1
    return np.where(near > 0, alpha, 0).astype(np.uint8)
