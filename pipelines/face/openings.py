"""How far lips and lids are apart, in a measure that needs no rest: shut is 0 for everybody."""

import numpy as np

PAIRS = {"lips": ((13, 14), (61, 291)), "left eye": ((386, 374), (362, 263)), "right eye": ((159, 145), (33, 133))}
"""Points of the gap, and of the width it is measured by."""
COLUMNS = tuple(PAIRS)
OPEN_PERCENTILE = 90
"""Of a person's lid gaps: the open eye."""


def openings(points: np.ndarray) -> np.ndarray:
    """float32 [...,3] by COLUMNS of landmarks [...,478,2 or 3]: the lips' gap over the mouth's width, lids' over the eye's."""
    gaps = [distance(points, *gap) / np.maximum(distance(points, *width), 1e-6) for gap, width in PAIRS.values()]
    return np.stack(gaps, axis=-1).astype(np.float32)


def distance(points: np.ndarray, first: int, second: int) -> np.ndarray:
    return np.linalg.norm(points[..., first, :2] - points[..., second, :2], axis=-1)


def of_open_eyes(values: np.ndarray) -> np.ndarray:
    """[T,3] with lid gaps over the person's own open eye, so that people with narrow and with wide eyes compare."""
    eyes = values[:, 1:]
    if not np.isfinite(eyes).any():
        return values
    return np.column_stack([values[:, :1], eyes / np.maximum(np.nanpercentile(eyes, OPEN_PERCENTILE, axis=0), 1e-3)])
