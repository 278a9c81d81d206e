"""Capture world -> the metric head frame: a similarity transform solved from rigid landmarks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.artifacts.crops import Crops
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_image, write_image
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import RIGID
from pipelines.geometry.rigid import project_px, similarity
from pipelines.media.squares import cut_square

AXIS_M = 0.112
"""Length of the axes on the overlay."""


@dataclass(frozen=True, kw_only=True)
class AlignmentSettings:
    max_rms_m: float = 0.0064
    """Root mean square distance of the person's rigid landmarks to the canonical head's; above it the capture is refused."""


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """X_head = scale * rotation @ X_world + shift."""

    scale: float
    rotation: np.ndarray
    shift: np.ndarray
    rms_m: float

    def camera_from_head(self, camera_from_world: np.ndarray) -> np.ndarray:
        """[N,4,4] poses with lengths in metres: R R_a^T and s t - R R_a^T shift."""
        result = np.tile(np.eye(4), (len(camera_from_world), 1, 1))
        result[:, :3, :3] = camera_from_world[:, :3, :3] @ self.rotation.T
        result[:, :3, 3] = self.scale * camera_from_world[:, :3, 3] - result[:, :3, :3] @ self.shift
        return result

    def camera_from_world(self, camera_from_head: np.ndarray) -> np.ndarray:
        """The inverse of `camera_from_head`."""
        result = np.tile(np.eye(4), (len(camera_from_head), 1, 1))
        result[:, :3, :3] = camera_from_head[:, :3, :3] @ self.rotation
        result[:, :3, 3] = (camera_from_head[:, :3, 3] + camera_from_head[:, :3, :3] @ self.shift) / self.scale
        return result

    def points(self, world: np.ndarray) -> np.ndarray:
        """[V,3] head from [V,3] world."""
        return self.scale * world @ self.rotation.T + self.shift

    def inverse_points(self, head: np.ndarray) -> np.ndarray:
        """[V,3] world from [V,3] head."""
        return (head - self.shift) @ self.rotation / self.scale


def align(points: np.ndarray, head: np.ndarray, settings: AlignmentSettings) -> Alignment:
    """The robust similarity transform (Umeyama 1991, Huber weights) of [R,3] world points onto [R,3] points of the mean head.

    The capture and the mean head are of different people, so the distance that is left is a difference of faces, 3-6 mm as a
    rule; UnusableMaterial above `max_rms_m`, where the cameras cannot be right.
    """
    scale, rotation, shift = similarity(points, head, rounds=12)
    rms = float(np.sqrt(np.mean(np.sum((scale * points @ rotation.T + shift - head) ** 2, axis=1))))
    if not rms <= settings.max_rms_m:
        raise UnusableMaterial(
            f"the head cannot be aligned: its landmarks lie {1000 * rms:.1f} mm off (limit {1000 * settings.max_rms_m:g}); "
            "film in even light with the whole face in view, or set cameras.method=landmarks."
        )
    return Alignment(scale=scale, rotation=rotation, shift=shift, rms_m=rms)


def overlay(partial: Path, names: list[str], points: np.ndarray, crops: Crops, size: int = 320) -> None:
    """overlay.png: eight frames with the tracked landmarks (white), the mean head's rigid ones (green) and the head's axes."""
    import cv2

    head, camera_from_head, focal_px, boxes = canonical_landmarks(), crops.camera_from_head, crops.focal_px, crops.box

    tiles = []
    for row in np.unique(np.linspace(0, len(names) - 1, 8).round().astype(int)):
        image, box = read_image(partial / "frames" / f"{names[row]}.jpg"), boxes[row]
        center = np.array([image.shape[1] / 2, image.shape[0] / 2])
        tile = cut_square(image, (box[0], box[1], box[2]), size)

        def place(px: np.ndarray, box: np.ndarray = box) -> np.ndarray:
            return ((px - box[:2]) * size / box[2] * 16).round().astype(int)

        for x, y in place(points[row, RIGID, :2]):
            cv2.circle(tile, (int(x), int(y)), 24, (255, 255, 255), -1, cv2.LINE_AA, 4)
        for x, y in place(project_px(camera_from_head[row], head[RIGID], focal_px, center)):
            cv2.circle(tile, (int(x), int(y)), 32, (40, 220, 60), 1, cv2.LINE_AA, 4)
        origin, *tips = place(project_px(camera_from_head[row], np.vstack([np.zeros(3), AXIS_M * np.eye(3)]), focal_px, center))
        for tip, color in zip(tips, ((230, 60, 60), (60, 200, 60), (70, 110, 255)), strict=True):
            cv2.line(tile, tuple(map(int, origin)), tuple(map(int, tip)), color, 2, cv2.LINE_AA, 4)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 4)
    write_image(partial / "overlay.png", np.vstack([np.hstack(tiles[start : start + 4]) for start in range(0, len(tiles), 4)]))
