"""Squares of a picture, and the pixels there at any size."""

import numpy as np

Square = tuple[float, float, float]
"""x0, y0, side in px of the picture; corners of pixels."""


def cut_square(image: np.ndarray, box: Square, size: int, *, outside: int | None = None) -> np.ndarray:
    """The square `box` (x0, y0, side in px, corners of pixels) of [H,W] or [H,W,3] at `size` px, antialiased.

    Beyond the border the edge is repeated, or `outside` taken.
    """
    import cv2

    x0, y0, side = box
    scale = side / size
    if scale > 1.2:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 * float(np.sqrt(scale**2 - 1)))
    matrix = np.array([[scale, 0, 0.5 * scale + x0 - 0.5], [0, scale, 0.5 * scale + y0 - 0.5]])
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_CUBIC if scale < 1 and outside is None else cv2.INTER_LINEAR)
    return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border, borderValue=outside or 0)


def inside(box: Square, other: Square, size: int) -> Square:
    """`box` in the pixels of a picture of side `size` that shows `other`, both squares of one frame.

    >>> inside((10, 20, 50), (0, 20, 100), 200)
    (20.0, 0.0, 100.0)
    """
    scale = size / other[2]
    return (box[0] - other[0]) * scale, (box[1] - other[1]) * scale, box[2] * scale


def resized(image: np.ndarray, size: int) -> np.ndarray:
    """A square picture at `size` px: area averages downward, cubic upward."""
    import cv2

    if image.shape[0] == size:
        return image
    shrinks = image.shape[0] > size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
