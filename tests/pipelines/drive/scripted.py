"""A driver's video whose tracking is known without a face: the brightness of a frame says how far the jaw is open."""

from pathlib import Path

import numpy as np

from pipelines.artifacts.prior import load_prior
from pipelines.face.tracker import FaceLandmarks
from pipelines.media.encoder import write_video

WIDTH, HEIGHT, RATE_HZ = 96, 64, 10.0
CHIN = [152, 148, 176, 149, 150, 377, 400, 378, 379, 175, 199, 200, 18, 17, 84, 181, 314, 405, 14, 87, 178, 317, 402, 91, 321]


def write_driver(path: Path, jaw: np.ndarray) -> Path:
    """A video with one gray frame for every entry of `jaw` in 0..1; NaN is a black frame without a face."""
    gray = np.where(np.isnan(jaw), 0, 40 + 200 * np.nan_to_num(jaw)).astype(np.uint8)
    write_video(path, (np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in gray), RATE_HZ)
    return path


class ScriptedTracker:
    """Takes the place of FaceTracker: the canonical head 2.5 units away, its jaw as the frame's brightness says."""

    started = 0

    def __init__(self, *, video: bool, blendshapes: Path | None = None, stay: bool = False):
        type(self).started += 1
        self.canonical = load_prior("quick").landmarks.astype(np.float64)

    def __enter__(self) -> "ScriptedTracker":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def restart(self) -> None:
        pass

    def others(self, image: np.ndarray, face: FaceLandmarks) -> list[FaceLandmarks]:
        return []

    def track(self, image: np.ndarray, time_s: float | None = None) -> FaceLandmarks | None:
        bright = float(image.mean())
        if bright < 20:
            return None
        head = self.canonical.copy()
        head[CHIN, 1] -= 0.06 * (bright - 40) / 200
        focal = 1.2 * max(image.shape[:2])
        x, y, z = (head * (1, -1, -1) + (0, 0, 2.5)).T
        height, width = image.shape[:2]
        points = np.column_stack([focal * x / z + width / 2, focal * y / z + height / 2, focal * (z - 2.5) / 2.5])
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        return FaceLandmarks(points.astype(np.float32), (low[0], low[1], high[0], high[1]))
