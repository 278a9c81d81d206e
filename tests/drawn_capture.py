"""Frames and mattes drawn by formulas, without any of the project's code: what a golden of its crops is made of."""

import numpy as np

SIZE, FOCAL_PX = (360, 448), 450.0
"""Width and height of the frames."""
SQUARE_PX = 512


def frame(number: int) -> np.ndarray:
    """uint8 [H,W,3]: waves and an edge that moves with the number."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float64)
    waves = [np.sin(x / (7 + 3 * channel) + number) * np.cos(y / (11 + channel)) for channel in range(3)]
    image = 128 + 70 * np.stack(waves, -1)
    image[:, : 60 + 30 * number] *= 0.5
    return image.round().clip(0, 255).astype(np.uint8)


def square_matte(number: int) -> np.ndarray:
    """uint8 [512,512] of the square around the head: an oval head over shoulders, with soft rims."""
    y, x = np.mgrid[:SQUARE_PX, :SQUARE_PX].astype(np.float64)
    head = 1.3 - np.hypot((x - 256 - 8 * number) / 120, (y - 220) / 170)
    shoulders = np.minimum((y - 400) / 60, 1.4 - np.abs(x - 256) / 180)
    return (255 * np.clip(6 * np.maximum(head, shoulders), 0, 1)).round().astype(np.uint8)
