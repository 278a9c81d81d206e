"""What face-alignment adds where its weights are on this machine: blazeface finds faces that mediapipe misses, FAN places 68
landmarks where mediapipe's bend toward the frontal face.

Notable choices: every file is found and checked by the weights registry, or is the one that face-alignment itself would use
(TORCH_HOME); nothing is ever downloaded: what asks for another file is refused. Its constructor would load a detector that
nobody needs, run on a GPU and compile for 80 s: all three are switched off.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.assets.store import KNOWN, find_weight
from pipelines.core.errors import MissingTool

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""
Detector = Callable[[np.ndarray], "Box | None"]
"""uint8 [H,W,3] RGB -> the most certain face, or None."""
Landmarker = Callable[[np.ndarray, Box], np.ndarray]
"""uint8 [H,W,3] RGB and the face's box -> float32 [68,2] px."""

LEAST_SCORE = 0.6
DETECTORS = (("blazefaceback.pth", True), ("blazeface.pth", False))
"""Weights and whether they are of the model for faces afar, which sees 256 pixels; the other one sees 128."""
FANS = (("3DFAN4", "TWO_HALF_D"), ("2DFAN4", "TWO_D"))
"""Registry name and landmark type; of a profile 3DFAN places the hidden points, 2DFAN follows the contour."""
MESH_OF_FAN = {
    27: 168, 28: 197, 29: 5, 30: 4, 36: 33, 39: 133, 42: 362, 45: 263, 33: 2, 48: 61, 54: 291, 51: 0, 57: 17, 62: 13, 66: 14,
}  # fmt: skip
"""Points that both name: bridge and tip of the nose, corners of the eyes and of the mouth, lips."""


def second_detector() -> Detector | None:
    """blazeface, or None where its weights are not; MissingTool when a file there is another's."""
    anchors = find_weight("anchors.npy")
    files = [(path, afar) for name, afar in DETECTORS if (path := find_weight(name))]
    if anchors is None or not files:
        return None
    models: list[Any] = []

    def detect(image: np.ndarray) -> Box | None:
        if not models:
            models.extend(_blazeface(path, anchors, afar) for path, afar in files)
        square, scale = _letterbox(image)
        for model in models:
            found = np.array([box for box in model.detect_from_image(square) if len(box) == 5], np.float64).reshape(-1, 5)
            if len(found) and found[:, 4].max() >= LEAST_SCORE:
                x0, y0, x1, y1 = (found[found[:, 4].argmax(), :4] / scale).tolist()
                return x0, y0, x1, y1
        return None

    return detect


def fan() -> Landmarker | None:
    """FAN's 68 landmarks, or None where neither of its weights is on this machine."""
    known = next(((path, kind) for name, kind in FANS if (path := fan_file(name))), None)
    if known is None:
        return None
    model = _fan(*known)

    def landmarks(image: np.ndarray, box: Box) -> np.ndarray:
        return np.asarray(model.get_landmarks_from_image(image, detected_faces=[box])[0][:, :2], np.float32)

    return landmarks


def fan_file(name: str) -> Path | None:
    """The weights of a FAN in the weights folder, or where face-alignment keeps them."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = Path(os.environ.get("TORCH_HOME") or cache / "torch").expanduser()
    there = home / "hub" / "checkpoints" / KNOWN[name].file
    return find_weight(name) or (there if there.is_file() else None)


def disagreement(points: np.ndarray, fan_points: np.ndarray) -> float:
    """Median distance of FAN's points [68,2] from the mesh's [478,3], over the longer side of the mesh's box."""
    mesh, other = list(MESH_OF_FAN.values()), list(MESH_OF_FAN)
    side = float(np.ptp(points[:, :2], axis=0).max())
    return float(np.median(np.linalg.norm(points[mesh, :2] - fan_points[other], axis=1)) / max(side, 1.0))


def _blazeface(path: Path, anchors: Path, afar: bool) -> Any:
    from face_alignment.detection.blazeface import FaceDetector

    with _no_network():
        return FaceDetector(
            device="cpu", back_model=afar, path_to_detector=str(path), path_to_anchor=str(anchors), min_score_thresh=0.5
        )


def _fan(path: Path, kind: str) -> Any:
    from face_alignment import FaceAlignment, LandmarksType

    options: dict[str, Any] = {"device": "cpu", "compile": False, "face_detector": "folder", "flip_input": False}
    with _no_network(path):
        return FaceAlignment(LandmarksType[kind], **options)


class _no_network:
    """While it lasts face-alignment gets the given file where it would download one of that name, and a refusal else."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def __enter__(self) -> None:
        from face_alignment import api
        from face_alignment.detection.blazeface import blazeface_detector

        self._kept = [(module, name, getattr(module, name)) for module, name in (
            (api, "load_file_from_url"), (blazeface_detector, "load_file_from_url"),
            (blazeface_detector, "load_state_dict_from_url"))]  # fmt: skip
        for module, name, _ in self._kept:
            setattr(module, name, self._given)

    def __exit__(self, *_: object) -> None:
        for module, name, value in self._kept:
            setattr(module, name, value)

    def _given(self, url: str, *_: Any, **__: Any) -> str:
        name = os.path.basename(url).split("?")[0]
        if self._path is None or self._path.name != name:
            raise MissingTool(f"face-alignment asks for {name}, which is not on this machine; nothing is downloaded.")
        return str(self._path)


def _letterbox(image: np.ndarray, side: int = 512) -> tuple[np.ndarray, float]:
    """The whole picture in the upper left of a square (the detector would see its middle alone), and its scale."""
    import cv2

    height, width = image.shape[:2]
    scale = side / max(height, width)
    square = np.zeros((side, side, 3), np.uint8)
    small = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    square[: small.shape[0], : small.shape[1]] = small
    return square, scale
