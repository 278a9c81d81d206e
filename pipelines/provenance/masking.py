"""Where texture hides the mark: how strong it may be in each pixel of a picture.

Activity is the mean distance of gray levels to those around them; what isolated edges lend to their flat sides is taken back
(a minimum over SHRINK_PX). Below FLAT it is none: there the picture stays as it is, to the last bit. From there the strength
grows with the root of the activity, up to MOST gray levels where it reaches FULL.

Notable choices:
- Gray levels are gamma coded: equal steps look about equal in light and shade, so activity in them is contrast already.
- Measured at 512 pixels: a larger picture is scaled down for it, as the mark's waves grow with the picture. Smaller ones are
  measured as they are.
- FLAT lies above what rounding to whole levels leaves of a smooth ramp, so a sky and a studio's backdrop stay clean.
"""

import math

import numpy as np

MEASURED_PX = 512
"""Longest side at which activity is measured."""
WINDOW_PX, SHRINK_PX, SMOOTH_PX = 9, 3, 2.0
FLAT, FULL, FULL_GROWTH = 0.3, 2.5, 0.23
"""Activity in gray levels without any mark; that with the strongest; and how this one grows in small pictures."""
MOST, SMALL = 2.4, 4 / 3
"""Gray levels rms of the mark in full texture from 512 pixels on, and how many times that at 128 and below: fewer waves must
be enough there."""


def strength(gray: np.ndarray) -> np.ndarray:
    """float32 [H,W], gray levels rms of the mark: 0 where uint8 `gray` [H,W] is flat, most of all in hair, lashes and cloth."""
    import cv2

    height, width = gray.shape
    scale = MEASURED_PX / max(height, width)
    if scale < 1:
        gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    found = most(scale) * np.sqrt(np.clip((activity(gray) - FLAT) * (1 / (full(scale) - FLAT)), 0.0, 1.0))
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_LINEAR) if scale < 1 else found


def most(scale: float) -> float:
    """Gray levels in full texture of a picture that is MEASURED_PX / scale long: 2.4 at 512, 2.8 at 256, 3.2 at 128."""
    return MOST * SMALL ** (math.log2(smallness(scale)) / 2)


def full(scale: float) -> float:
    """Activity of full texture: 2.5 at 512, 3.2 at 256, 6 at 128, where even skin is a few pixels from an edge."""
    return FULL + FULL_GROWTH * (smallness(scale) ** 2 - 1)


def smallness(scale: float) -> float:
    """1 at 512 pixels and above, 4 at 128 and below."""
    return min(max(scale, 1.0), 4.0)


def activity(gray: np.ndarray) -> np.ndarray:
    """float32 [H,W] gray levels; 0 on an even picture, 0.3 at most on a ramp, 3 in soft hair."""
    import cv2

    window, levels = (WINDOW_PX, WINDOW_PX), gray.astype(np.float32)
    mean = cv2.blur(cv2.absdiff(levels, cv2.blur(levels, window)), window)
    return cv2.GaussianBlur(cv2.erode(mean, np.ones((SHRINK_PX, SHRINK_PX), np.uint8)), (0, 0), SMOOTH_PX)
