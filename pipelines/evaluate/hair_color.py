"""Colored specks in hair: how much color changes from pixel to pixel, over how much it does in the filmed frames.

Hair is nearly of one hue, so fine changes of color without brightness are what a generator or an encoder added. Color is what
is left of each channel without their mean; fine is what is left of that without its surroundings (sigma FINE of the side).
"""

import numpy as np

from pipelines.evaluate.protocol import Pictures
from pipelines.evaluate.regions import LEAST_PIXELS

FINE = 1 / 128
DEFINITIONS = {
    "hair_color_noise": (
        "root mean square of fine changes of color (channels without their mean, without their surroundings of sigma side/128) "
        "in hair, over the filmed frames'; 1 is as filmed, more is specks, less is smooth"
    )
}


def hair_color_noise(renders: np.ndarray, truth: Pictures, hair: np.ndarray) -> float | None:
    """Of renders [N,S,S,3] in the masks [N,S,S]; None where no frame shows hair."""
    shown = [row for row, mask in enumerate(hair) if mask.sum() >= LEAST_PIXELS]
    if not shown:
        return None
    ours, theirs = (sum(color_noise(images[row], hair[row]) for row in shown) for images in (renders, truth.image))
    return float(np.sqrt(ours / max(theirs, 1e-12)))


def color_noise(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean square of fine color in the mask [S,S] of an image [S,S,3]."""
    import cv2

    color = (image - image.mean(-1, keepdims=True)).astype(np.float32)
    return float(np.square(color - cv2.GaussianBlur(color, (0, 0), FINE * len(image)))[mask].mean())
