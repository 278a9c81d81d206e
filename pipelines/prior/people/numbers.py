"""Small functions of numbers that several rooms of the synthetic people share."""

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.interpolate import splev, splprep


def to_linear(srgb: Sequence[float] | np.ndarray) -> np.ndarray:
    """Linear light of sRGB values in 0..1: 0.5 -> 0.214."""
    value = np.asarray(srgb, float)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def to_srgb(value: np.ndarray) -> np.ndarray:
    """sRGB of linear light; above 0.7 a soft shoulder keeps highlights from clipping."""
    value = np.maximum(value, 0)
    value = np.where(value > 0.7, 0.7 + 0.3 * (1 - np.exp(-(value - 0.7) / 0.3)), value)
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * np.power(np.maximum(value, 1e-9), 1 / 2.4) - 0.055)


def smooth(start: float, stop: float, value: np.ndarray) -> np.ndarray:
    """0 at start, 1 at stop, 3t^2-2t^3 between; start may lie above stop."""
    t = np.clip((value - start) / (stop - start), 0, 1)
    return t * t * (3 - 2 * t)


def normalize(vector: np.ndarray) -> np.ndarray:
    return vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-9)


def spline(points: np.ndarray, count: int, closed: bool = False) -> np.ndarray:
    """`count` points along the cubic curve through `points`."""
    path = np.vstack([points, points[:1]]) if closed else points
    knots, _ = splprep(path.T, s=0, per=closed, k=3)
    return np.stack(splev(np.linspace(0, 1, count), knots), 1)


def noise(size: int, random: np.random.Generator, scales: Sequence[float], weights: Sequence[float]) -> np.ndarray:
    """[size,size] tileable noise of unit variance: blurred white noise of several widths in pixels."""
    total = np.zeros((size, size), np.float32)
    for scale, weight in zip(scales, weights, strict=True):
        border = int(3 * scale) + 1
        field = np.pad(random.standard_normal((size, size)).astype(np.float32), border, mode="wrap")
        field = cv2.GaussianBlur(field, (0, 0), scale)[border:-border, border:-border]
        total += weight * field / field.std()
    return total / total.std()


def limit_color(color: np.ndarray, most: float) -> np.ndarray:
    """A color darkened until its largest channel is at most `most`."""
    return np.asarray(color) * min(1.0, most / np.max(color))


def random_color(random: np.random.Generator, saturation: tuple[int, int], value: tuple[int, int]) -> np.ndarray:
    """Linear [3] of a random hue; saturation and value out of 255."""
    hsv = np.array([[[random.integers(0, 180), random.integers(*saturation), random.integers(*value)]]], np.uint8)
    return to_linear(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] / 255.0)
