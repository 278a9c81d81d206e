"""A clean plate: what the film shows without the person.

One frame is the base: where the person is not, the plate is that frame, so that a person cut out of it fits in without a seam.
Behind the person it is the median of the frames in which that place is free, moved onto the base where the camera moved
(a homography of corners outside the person), its colors drawn to the base's along the border. What no frame shows is filled
softly from around it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipelines.media.fill import filled

MEDIAN_PX = 960
"""Longer side at which frames are compared; only what lies behind the person is seen at that size."""
AROUND = 0.02
"""How far around a matte's person the film is not believed: fringes of hair, shadows, over the longer side."""
PERSON = 8
"""Mattes (0 to 255) above this are the person."""
CORNERS, LEAST_CORNERS = 700, 24
STAYED_PX = 0.7
"""A camera under which half of the corners moved by less stood still, as one that moved the frame's corners by less."""
FARTHEST = 0.25
"""Frames that a homography moves farther than this share of the longer side are left out."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A frame of the film with its person."""

    image: np.ndarray
    """uint8 [H,W,3]"""
    matte: np.ndarray
    """uint8 [H,W]"""

    @cached_property
    def free(self) -> np.ndarray:
        """bool [H,W]: neither the person nor near them."""
        import cv2

        reach = 2 * max(1, round(AROUND * max(self.matte.shape))) + 1
        return cv2.dilate(self.matte, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))) <= PERSON

    def smaller(self, longest: int) -> "Look":
        import cv2

        height, width = self.matte.shape
        share = min(1.0, longest / max(height, width))
        size = round(share * width), round(share * height)
        image, matte = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (self.image, self.matte))
        return Look(image=image, matte=matte)


def clean_plate(base: Look, others: Sequence[Look]) -> tuple[np.ndarray, float]:
    """uint8 [H,W,3] the scene of the `base` without its person, and the share of the person's area that other frames showed."""
    import cv2

    small = base.smaller(MEDIAN_PX)
    middle, known = median_behind(small, [other.smaller(MEDIAN_PX) for other in others])
    free = small.free
    shift = filled(small.image.astype(np.float32) - middle, (free & known).astype(np.float32))
    behind = np.where(free[..., None], small.image, middle + (shift if (free & known).any() else 0.0))
    whole = filled(behind, (free | known).astype(np.float32)).clip(0, 255)
    height, width = base.matte.shape
    enlarged = cv2.resize(whole, (width, height), interpolation=cv2.INTER_CUBIC)
    own = cv2.GaussianBlur(base.free.astype(np.float32), (0, 0), AROUND * max(height, width) / 3)
    own = np.clip(2 * own - 1, 0, 1)[..., None]
    plate = own * base.image + (1 - own) * enlarged
    return np.round(plate.clip(0, 255)).astype(np.uint8), float((known & ~free).sum() / max((~free).sum(), 1))


def median_behind(base: Look, others: Sequence[Look]) -> tuple[np.ndarray, np.ndarray]:
    """float32 [H,W,3] median of the free pixels of frames brought onto the base, and bool [H,W] where there is any."""
    moved = [found for look in others if (found := brought_onto(base, look)) is not None]
    if not moved:
        return base.image.astype(np.float32), np.zeros(base.matte.shape, bool)
    images, free = (np.stack(part) for part in zip(*moved, strict=True))
    count = free.sum(0)
    images[~free] = 255  # sorted behind what is free
    images.sort(axis=0)
    at = np.maximum(count - 1, 0)[None, :, :, None] // 2
    return np.take_along_axis(images, at, 0)[0].astype(np.float32), count > 0


def brought_onto(base: Look, look: Look) -> tuple[np.ndarray, np.ndarray] | None:
    """The image uint8 [H,W,3] of a frame as the base's camera sees it, and where it is free; None where that is not known."""
    import cv2

    height, width = base.matte.shape
    move = camera_move(base, look)
    if move is None:
        return None
    corners = np.array([[[0, 0], [width, 0], [width, height], [0, height]]], np.float32)
    away = np.linalg.norm(cv2.perspectiveTransform(corners, move) - corners, axis=-1).max()
    if away < STAYED_PX:
        return look.image, look.free
    if away > FARTHEST * max(height, width):
        return None
    image = cv2.warpPerspective(look.image, move, (width, height), flags=cv2.INTER_LINEAR)
    return image, cv2.warpPerspective(look.free.astype(np.uint8), move, (width, height), flags=cv2.INTER_NEAREST) > 0


def camera_move(base: Look, look: Look) -> np.ndarray | None:
    """[3,3] homography from a frame to the base, by corners outside the person.

    The identity where there is hardly any corner (a plain wall), None where they agree on nothing.
    """
    import cv2

    finder = cv2.ORB.create(CORNERS)
    points, marks = zip(*(_corners(finder, one) for one in (look, base)), strict=True)
    if min(map(len, points)) < LEAST_CORNERS:
        return np.eye(3)
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(marks[0], marks[1])
    source = np.array([points[0][pair.queryIdx].pt for pair in pairs], np.float32)
    target = np.array([points[1][pair.trainIdx].pt for pair in pairs], np.float32)
    if len(pairs) < LEAST_CORNERS:
        return None
    if (np.linalg.norm(source - target, axis=1) < STAYED_PX).mean() > 0.5:
        return np.eye(3)
    move, agreed = cv2.findHomography(source, target, cv2.RANSAC, 2.0)
    return move if move is not None and int(agreed.sum()) >= LEAST_CORNERS // 2 else None


def _corners(finder: Any, look: Look) -> tuple[Sequence[Any], np.ndarray]:
    """Key points of the free part of a frame, and their descriptors."""
    import cv2

    gray = cv2.cvtColor(look.image, cv2.COLOR_RGB2GRAY)
    return finder.detectAndCompute(gray, np.where(look.free, 255, 0).astype(np.uint8))
