"""The square of a frame in which head and shoulders are: where mattes are made and points are followed."""

import numpy as np

from pipelines.capture.frames.scan import face_side
from pipelines.media.squares import Square

REGION_SCALE = 2.3
"""Side of the square around the head over the longer side of the face's box."""


def region(points: np.ndarray) -> Square:
    """x0, y0, side (px) of the square around head and shoulders of a face's [478,3] points."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    side = float(face_side(points[None])[0]) * REGION_SCALE
    x, y = (low + high) / 2
    return float(x) - side / 2, float(y) - 0.52 * side, side
