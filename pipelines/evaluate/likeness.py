"""How much the face of a render is the filmed one's to a face recognizer, and how much the person differs from herself."""

from typing import Any

import numpy as np

from pipelines.artifacts.dataset import Dataset
from pipelines.evaluate.faces import Faces
from pipelines.face.recognition import align_face, describe, distances

OTHER_SCENE_S = 2.0
"""Frames this far apart show different scenes."""
OWN_FRAMES = 24
"""As many training frames stand for the person, evenly spread."""
DEFINITIONS = {
    "identity_distance": (
        "median distance of a face recognizer's descriptions (dlib's ResNet; 0: the same picture, below about 0.6: one person) "
        "between render and filmed frame, where both were tracked; retrieval and oracle show what another filmed frame gets. "
        f"own_frames: between training frames at least {OTHER_SCENE_S:g} s apart. to_own_frames: of each render to the nearest "
        f"quarter of {OWN_FRAMES} training frames"
    )
}
Description = np.ndarray | None
"""[128], None where no face was found."""


def likeness(
    sequences: dict[str, tuple[np.ndarray, Faces]], truth: tuple[np.ndarray, Faces], own: np.ndarray, own_time_s: np.ndarray
) -> dict[str, Any]:
    """Distances by sequence (images [N,S,S,3] of 0..1, faces) to the truth; and to, and between, own descriptions [M,128]."""
    known = descriptions(*truth)
    ours = {name: descriptions(*one) for name, one in sequences.items()}
    return {
        **{name: median_distance(rows, known) for name, rows in ours.items()},
        "own_frames": between_scenes(own, own_time_s),
        "to_own_frames": {name: to_own(rows, own) for name, rows in ours.items()},
        "network": "dlib ResNet",
    }


def descriptions(images: np.ndarray, faces: Faces) -> list[Description]:
    """Of the faces in images [N,S,S,3] of 0..1."""
    rows = np.flatnonzero(faces.found)
    found = iter(describe([align_face((images[row] * 255).round().astype(np.uint8), faces.points[row]) for row in rows]))
    return [next(found) if there else None for there in faces.found]


def median_distance(ours: list[Description], theirs: list[Description]) -> float | None:
    """Over the rows that both have; None without one."""
    apart = [float(np.linalg.norm(a - b)) for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    return float(np.median(apart)) if apart else None


def to_own(rows: list[Description], own: np.ndarray) -> float | None:
    """Median over the rows of the distance to the nearest quarter of own descriptions [M,128]."""
    known = [row for row in rows if row is not None]
    if not known or not len(own):
        return None
    return float(np.median(np.quantile(distances(np.stack(known), own), 0.25, axis=1)))


def between_scenes(own: np.ndarray, time_s: np.ndarray) -> float | None:
    """Median distance between own descriptions [M,128] at least OTHER_SCENE_S apart; None where there are no such two."""
    apart = np.triu(np.abs(time_s[:, None] - time_s[None]) >= OTHER_SCENE_S)
    return float(np.median(distances(own, own)[apart])) if apart.any() else None


def own_descriptions(dataset: Dataset, size: int) -> tuple[np.ndarray, np.ndarray]:
    """[M,128] of training frames at `size`, placed by the capture's own tracking, and their times [M] in s."""
    rows = dataset.rows("train")
    points = dataset.tracking()["landmarks"][rows][..., :2]
    rows = rows[np.isfinite(points).all((1, 2)) & (np.ptp(points, axis=1).min(1) > 1)]
    if not len(rows):
        return describe([]), np.zeros(0)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(OWN_FRAMES, len(rows))).round().astype(int))]
    images, landmarks = dataset.images(rows, size), dataset.tracking()["landmarks"][rows][..., :2]
    places = (landmarks - dataset.box[rows, None, :2]) * size / dataset.box[rows, None, 2:]
    return describe([align_face(*one) for one in zip(images, places, strict=True)]), dataset.time_s[rows]
