"""The colors of what a matte cuts out, free of the background that shone through: hair over a bright wall keeps its own color.

A pixel is I = a F + (1 - a) B. F and B are estimated by fusing blurred colors (Forte 2021, "Approximate Fast Foreground Colour
Estimation", equations 4 and 5): means of the picture, weighted by a and 1 - a over a window, corrected so that the equation
holds; first over a wide window, then over a narrow one.

Notable choices:
- weights of the wide window are a^SURE and (1 - a)^SURE, since half of the color of a pixel with a = .5 is the
  background's; it is computed on a small picture, as it holds nothing fine;
- a color lies between the picture's and the blurred one: a matte that is a little too low would make dark cloth black.
"""

import numpy as np

WIDE, NARROW = 0.09, 0.009
"""Radius of the windows, over the picture's longer side: 90 and 9 px of 1000."""
SURE = 8.0
SMALL_PX = 256
"""Longer side of the picture for the wide window."""
LARGE_PX = 640
"""What changes in larger pictures is found at this size: mattes hold nothing finer."""


def foreground(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """uint8 [H,W,3]: the color that every pixel of `image` [H,W,3] uint8 has where only the `matte`'s [H,W] uint8 person shows.

    Pixels with a matte of 255 are unchanged; where it is 0, the color is that of the person nearby (of the picture, where
    nobody is near).
    """
    if max(matte.shape) > LARGE_PX:
        return _of_smaller(image, matte)
    picture, alpha = image.astype(np.float32), matte.astype(np.float32) / 255
    front, behind = _enlarged(_fused(*_small(picture, alpha), share=WIDE, power=SURE), alpha.shape)
    front, _ = _fused(picture, alpha, front, behind, share=NARROW, power=1.0)
    return np.round(np.where(matte[..., None] == 255, picture, front)).astype(np.uint8)


def _of_smaller(image: np.ndarray, matte: np.ndarray) -> np.ndarray:
    """`foreground` as what it changes in a picture of LARGE_PX."""
    import cv2

    size = tuple(round(LARGE_PX / max(matte.shape) * side) for side in matte.shape[::-1])
    small, own = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (image, matte))
    change = foreground(small, own).astype(np.float32) - small
    large = image + cv2.resize(change, matte.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.round(np.where(matte[..., None] == 255, image, large.clip(0, 255))).astype(np.uint8)


def _small(picture: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, ...]:
    """Picture and alpha at SMALL_PX at most, and the picture again as the first guess of both colors."""
    import cv2

    share = min(1.0, SMALL_PX / max(alpha.shape))
    size = max(1, round(share * alpha.shape[1])), max(1, round(share * alpha.shape[0]))
    picture, alpha = (cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (picture, alpha))
    return picture, alpha, picture, picture


def _enlarged(pictures: tuple[np.ndarray, ...], shape: tuple[int, ...]) -> list[np.ndarray]:
    import cv2

    return [cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_LINEAR) for picture in pictures]


def _fused(
    picture: np.ndarray, alpha: np.ndarray, front: np.ndarray, behind: np.ndarray, *, share: float, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """Both colors [H,W,3] anew: the blurred ones, the front one corrected by what they leave of the picture."""
    radius, rest = max(1, round(share * max(alpha.shape))), 1 - alpha
    near, far = _mean(front, alpha**power, radius), _mean(behind, rest**power, radius)
    missing = picture - alpha[..., None] * near - rest[..., None] * far
    color = near + alpha[..., None] * missing
    return np.clip(color, np.minimum(near, picture), np.maximum(near, picture)), far


def _mean(color: np.ndarray, weight: np.ndarray, radius: int) -> np.ndarray:
    """[H,W,3] the mean of `color` with `weight` [H,W] over a window; the color itself where the window holds no weight."""
    import cv2

    window = (2 * radius + 1, 2 * radius + 1)
    total = cv2.boxFilter(weight, -1, window)[..., None]
    mean = cv2.boxFilter(color * weight[..., None], -1, window) / np.maximum(total, 1e-6)
    return np.where(total > 1e-4, mean, color)
