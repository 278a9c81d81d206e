"""Holes in a picture filled from what is around them: softly, the farther away the softer (push-pull over a pyramid)."""

import numpy as np


def filled(picture: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """float32 [H,W,C] of `picture` [H,W,C]: where `weight` float [H,W] is 1 as it was, where it is 0 the mean of what is near.

    Unchanged where nothing has weight.
    """
    import cv2

    height, width = weight.shape
    picture, share = picture.astype(np.float32), weight.astype(np.float32)[..., None]
    if min(height, width) < 2 or weight.min() >= 1 or not weight.any():
        return picture
    half = (max(1, width // 2), max(1, height // 2))
    total = cv2.resize(share, half, interpolation=cv2.INTER_AREA)
    small = cv2.resize(picture * share, half, interpolation=cv2.INTER_AREA).reshape(half[1], half[0], -1)
    known = filled(small / np.maximum(total, 1e-6)[..., None], (total > 1e-3).astype(np.float32))
    behind = cv2.resize(known, (width, height), interpolation=cv2.INTER_LINEAR).reshape(picture.shape)
    return share * picture + (1 - share) * behind
