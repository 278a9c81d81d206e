"""How much the face of a render is the filmed one's to a face recognizer, and how much the person differs from herself."""

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.avatar import Avatar
from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.dataset_view import view_of
from pipelines.artifacts.origins import captures_beside, find_origin, origins_of
from pipelines.evaluate.faces import Faces
from pipelines.face.recognition import OTHER_SCENE_S, OwnFaces, align_face, describe

OWN_FRAMES = 24
"""As many training frames stand for the person, evenly spread."""
OWN_PX = 384
"""Size of the crops in which they are looked at where no other is asked for."""
DEFINITIONS = {
    "identity_distance": (
        "median distance of a face recognizer's descriptions (dlib's ResNet; 0: the same picture, below about 0.6: one person) "
        "between render and filmed frame, where both were tracked; retrieval and oracle show what another filmed frame gets; "
        f"own_frames: between those of {OWN_FRAMES} training frames that are {OTHER_SCENE_S:g} s or more apart; to_own_frames: "
        "between the renders and all of these"
    )
}
Description = np.ndarray | None
"""[128], None where no face was found."""


def likeness(sequences: dict[str, tuple[np.ndarray, Faces]], truth: tuple[np.ndarray, Faces], own: OwnFaces) -> dict[str, Any]:
    """Distances by sequence (images [N,S,S,3] of 0..1, faces) to the truth, and to and between own frames."""
    known = descriptions(*truth)
    ours = {name: descriptions(*one) for name, one in sequences.items()}
    return {
        **{name: median_distance(rows, known) for name, rows in ours.items()},
        "own_frames": own.between_scenes(),
        "to_own_frames": {
            name: own.distance_of(np.array([row for row in rows if row is not None])) for name, rows in ours.items()
        },
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


def own_faces(dataset: Dataset, size: int) -> OwnFaces:
    """Of training frames at `size`, placed by the capture's own tracking."""
    rows = dataset.rows("train")
    points = dataset.tracking()["landmarks"][..., :2]
    rows = rows[np.isfinite(points[rows]).all((1, 2)) & (np.ptp(points[rows], axis=1).min(1) > 1)]
    if not len(rows):
        return OwnFaces(descriptions=describe([]), time_s=np.zeros(0))
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(OWN_FRAMES, len(rows))).round().astype(int))]
    places = (points[rows] - dataset.box[rows, None, :2]) * size / dataset.box[rows, None, 2:]
    chips = [align_face(*one) for one in zip(dataset.images(rows, size), places, strict=True)]
    return OwnFaces(descriptions=describe(chips), time_s=dataset.time_s[rows])


def own_faces_beside(avatar: Path, model: Avatar) -> OwnFaces | None:
    """Of the capture that an avatar folder was made of, where that lies beside it."""
    origin = origins_of(avatar)[0]
    capture = find_origin(origin, captures_beside(avatar, name=origin.name))
    return None if capture is None else own_faces(view_of(capture, model.frame), OWN_PX)
