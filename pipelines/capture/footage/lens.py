"""Lens distortion, undone once: pictures by one resampling, places exactly.

Notable choices: the model is Brown's (1966) with OpenCV's names. A coefficient that was estimated is the first radial one, k1:
what an ideal camera sees at distance r from the axis (over the focal length) a lens shows at r (1 + k1 r^2). Phones undo most
of it themselves; what is left is some tenths of a percent to a few percent at the corners.
"""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.capture.frames.scan import Scan


@dataclass(frozen=True, kw_only=True)
class Lens:
    """One radial coefficient with the optical axis in the middle of the picture."""

    k1: float
    focal_px: float
    size: tuple[float, float]

    def __bool__(self) -> bool:
        return self.k1 != 0

    @property
    def matrix(self) -> np.ndarray:
        """[3,3] of the ideal camera."""
        return _pinhole(self.focal_px, self.size)

    @property
    def bend_px(self) -> float:
        """How far it moves a corner of the picture: |k1| (r/f)^3 f.

        600x800 with f = 1000 and k1 = 0.08: r = 500, 10 px.
        """
        return abs(self.k1) * (float(np.hypot(*self.size)) / 2 / self.focal_px) ** 3 * self.focal_px

    def distort(self, px: np.ndarray) -> np.ndarray:
        """[...,2] where the lens shows what an ideal camera sees at `px`.

        With k1 = -0.1, f = 100 and the axis at (50, 50): (80, 90) is shown at (79.25, 89), as r = 0.5 becomes 0.4875.
        """
        if not self:
            return px
        away = self._away(px)
        return self._px(away * (1 + self.k1 * np.sum(away**2, axis=-1, keepdims=True)))

    def undistort(self, px: np.ndarray) -> np.ndarray:
        """[...,2] the inverse of `distort`, by Newton's method; beyond the largest radius that a lens can show, that radius."""
        if not self:
            return px
        away = self._away(px)
        shown = np.linalg.norm(away, axis=-1, keepdims=True)
        most = float(np.sqrt(-1 / (3 * self.k1))) if self.k1 < 0 else np.inf
        radius = np.minimum(shown, 0.9 * most)
        for _ in range(20):
            off = radius * (1 + self.k1 * radius**2) - shown
            radius = np.minimum(radius - off / (1 + 3 * self.k1 * radius**2), 0.99 * most)
        return self._px(away * np.divide(radius, shown, out=np.ones_like(shown), where=shown > 0))

    def picture(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H,W,3] as the ideal camera sees it."""
        size = round(self.size[0]), round(self.size[1])
        return undone(image, self.matrix, np.array([self.k1, 0, 0, 0, 0]), self.focal_px, size)

    def points(self, seen: Scan) -> Scan:
        """The scan with the places of the tracker's points in straight pictures; no face stays no face."""
        if not self:
            return seen
        found = np.any(seen.points != 0, axis=(1, 2))[:, None, None]
        px = np.where(found, self.undistort(seen.points[..., :2].astype(np.float64)), 0.0)
        return replace(seen, points=np.concatenate([px, seen.points[..., 2:]], axis=2).astype(np.float32))

    def _away(self, px: np.ndarray) -> np.ndarray:
        return (np.asarray(px, np.float64) - np.array(self.size) / 2) / self.focal_px

    def _px(self, away: np.ndarray) -> np.ndarray:
        return away * self.focal_px + np.array(self.size) / 2


def undone(image: np.ndarray, matrix: np.ndarray, lens: np.ndarray, focal_px: float, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H,W,3] of a camera with `matrix` [3,3] and `lens` [5] (k1, k2, p1, p2, k3) as an ideal one of `size` sees it.

    The center of the first pixel is 0.5. A picture that is ideal already comes back as it is.
    """
    import cv2

    ideal = _pinhole(focal_px, size)
    if (image.shape[1], image.shape[0]) == size and np.abs(ideal - matrix).max() < 0.01 and not lens.any():
        return image
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    shrink = matrix[0, 0] / focal_px
    if shrink > 1.2:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 * float(np.sqrt(shrink**2 - 1)))
    grid = cv2.initUndistortRectifyMap(half @ matrix, lens, None, half @ ideal, size, cv2.CV_32FC1)
    return cv2.remap(image, *grid, interpolation=cv2.INTER_CUBIC if shrink <= 1.0 else cv2.INTER_LINEAR)


def _pinhole(focal_px: float, size: tuple[float, float]) -> np.ndarray:
    return np.array([[focal_px, 0, size[0] / 2], [0, focal_px, size[1] / 2], [0, 0, 1]])
