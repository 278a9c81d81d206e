"""Does the camera move through the room, or does the head turn before a camera that stands still?"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.capture.mattes.crop_squares import region
from pipelines.core.files import read_image

PAIRS = 12
"""Pairs of frames compared, evenly over the clip."""
WIDTH_PX = 480
STILL = 0.006
"""A point of the background that moves by less than this share of the longer side has stayed where it was."""
LEAST_CORNERS = 12


@dataclass(frozen=True, kw_only=True)
class Background:
    still: float | None
    """Share of the background's corners that stay where they are from one of the compared frames to the next; None where
    the background has hardly any corner."""

    @property
    def kind(self) -> str:
        """`still`, `moving` or `plain`."""
        if self.still is None:
            return "plain"
        return "still" if self.still > 0.4 else "moving"


def background(partial: Path, chosen: Scan) -> Background:
    """Follow corners outside the person between frames a twelfth of the clip apart."""
    rows = np.unique(np.linspace(0, len(chosen.index) - 1, PAIRS + 1).round().astype(int))
    looks = [_look(partial, int(chosen.index[row]), chosen.points[row]) for row in rows]
    counts = np.array([_stayed(*one, other[0]) for one, other in zip(looks, looks[1:], strict=False)])
    enough = counts[:, 1] >= LEAST_CORNERS
    if enough.sum() < len(counts) / 2:
        return Background(still=None)
    return Background(still=float(np.median(counts[enough, 0] / counts[enough, 1])))


def _look(partial: Path, index: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A small gray frame and the mask of its background: not the person's matte, nor what lies below it."""
    import cv2

    image = read_image(partial / "frames" / f"{frame_name(index)}.jpg")
    matte = read_image(partial / "work" / "mattes" / f"{frame_name(index)}.png")
    x0, y0, side = region(points)
    scale = WIDTH_PX / max(image.shape[:2])
    small = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    matrix = np.array([[side / matte.shape[1], 0, x0], [0, side / matte.shape[0], y0]]) * scale
    person = cv2.warpAffine(cv2.dilate(matte, np.ones((41, 41))), matrix, small.shape[::-1])
    mask = np.where(person > 20, 0, 255).astype(np.uint8)
    bottom, left, right = (int(value * scale) for value in (y0 + side, x0 - 0.3 * side, x0 + 1.3 * side))
    mask[max(bottom - 4, 0) :, max(left, 0) : max(right, 0)] = 0
    return small, mask


def _stayed(image: np.ndarray, mask: np.ndarray, later: np.ndarray) -> tuple[int, int]:
    """How many corners of the background stay where they are, and how many there are."""
    import cv2

    corners = cv2.goodFeaturesToTrack(image, 150, 0.02, 7, mask=mask)
    if corners is None:
        return 0, 0
    options = {"winSize": (15, 15), "maxLevel": 2}
    there, found, error = cv2.calcOpticalFlowPyrLK(image, later, corners, None, **options)  # type: ignore[call-overload]
    near = np.linalg.norm((there - corners)[:, 0], axis=1) < STILL * max(image.shape)
    return int(np.sum(near & (found[:, 0] > 0) & (error[:, 0] < 12))), len(corners)
