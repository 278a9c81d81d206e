"""Finding one face in an image or following it through a video: 478 points by mediapipe's face mesh.

Notable choices: the mesh sees only a window around the face (its own detector misses faces under about 15 % of the width),
chosen by a full-range detector where needed and moved rarely, because the mesh is steadiest while it follows its own last
landmarks; after each move, and for every single image, it runs several times on the same frame, so that a fresh start and a
long run agree. No state lies outside the tracker.
"""

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pipelines.errors import MissingTool
from pipelines.files import sha256_file
from pipelines.weights import KNOWN, how_to_get

LEAST_SIDE_PX = 320
"""Windows smaller than this are enlarged before the mesh sees them (renders of 128 px)."""
WINDOW_SCALE = 2.4
"""Side of the window over the longer side of the face's box."""

SETTLING = 3
"""Looks at the first frame in a new window; the mesh places its own crop by the last landmarks, and that has to converge."""

_NOISE = re.compile(rb"^[IW]\d{4} \d\d:\d\d|TensorFlow Lite XNNPACK|absl::InitializeLog")
"""Information and warnings of absl; its errors are passed on."""

Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, inside the image."""


@dataclass(frozen=True)
class FaceLandmarks:
    """One face in one image."""

    points: np.ndarray
    """[478,3] float32: x, y in pixels of the image (the center of the first pixel is 0.5), z in pixels, smaller = nearer."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 of the points."""
    blendshapes: dict[str, float] | None = None
    """Mediapipe's scores by ARKit name, when the tracker was given its model."""


class FaceTracker:
    """A context manager around mediapipe's models.

    `video=True` follows one face from frame to frame; two trackers that start at the same frame give the same points.
    `video=False` treats every image alone. `blendshapes` is the path of `face_landmarker.task`; MissingTool if it is not it.
    """

    def __init__(self, *, video: bool, blendshapes: Path | None = None):
        self._video = video
        self._window: Window | None = None
        warnings.filterwarnings("ignore", message=r"SymbolDatabase\.GetPrototype", category=UserWarning)
        with without_chatter():
            self._finder: Any = _face_mesh(follow=False)
            self._mesh: Any = _face_mesh(follow=True)
            self._detector: Any = _face_detector()
            self._scorer: Any = _landmarker(blendshapes) if blendshapes else None

    def __enter__(self) -> "FaceTracker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Free the models; calling it twice does nothing."""
        for model in {id(m): m for m in (self._mesh, self._finder, self._detector, self._scorer) if m is not None}.values():
            model.close()
        self._mesh = self._finder = self._detector = self._scorer = None

    def track(self, image: np.ndarray, time_s: float | None = None) -> FaceLandmarks | None:
        """The face in uint8 [H,W,3] RGB, or None when there is none; `time_s` only names the frame in errors of the caller."""
        points = self._followed(image) if self._video and self._window is not None else None
        if points is None:
            points = self._found(image)
        if points is None:
            return None
        box = _box(points)
        if self._video and not _well_inside(box, self._window, image):
            self._window = None
            points = self._settled(image, _window_around(box, image, WINDOW_SCALE))
            if points is None:
                return None
            box = _box(points)
        return FaceLandmarks(points, box, self._scores(image, box))

    def _followed(self, image: np.ndarray) -> np.ndarray | None:
        assert self._window is not None
        points = _mesh_points(self._mesh, image, self._window)
        if points is None:
            self._window = None
        return points

    def _found(self, image: np.ndarray) -> np.ndarray | None:
        """Search the whole image, closely if the mesh sees a face at once, else where the full-range detector says."""
        whole = (0, 0, image.shape[1], image.shape[0])
        points = _mesh_points(self._finder, image, whole)
        window = _window_around(_box(points), image, WINDOW_SCALE) if points is not None else self._detected(image)
        if window is None:
            return None
        closer = self._settled(image, window)
        return closer if closer is not None else points

    def _detected(self, image: np.ndarray) -> Window | None:
        """The window of the most certain face of the full-range detector."""
        found = self._detector.process(_contiguous(image)).detections
        if not found:
            return None
        area = max(found, key=lambda detection: detection.score[0]).location_data.relative_bounding_box
        height, width = image.shape[:2]
        box = (area.xmin * width, area.ymin * height, (area.xmin + area.width) * width, (area.ymin + area.height) * height)
        return _window_around(box, image, 3.0)

    def _settled(self, image: np.ndarray, window: Window) -> np.ndarray | None:
        """Start to follow in a new window: each further look uses the landmarks of the last, as all later frames do."""
        with without_chatter():
            self._mesh.reset()
            points = _mesh_points(self._mesh, image, window)
        if points is None:
            return None
        self._window = window
        for _ in range(SETTLING - 1):
            again = _mesh_points(self._mesh, image, window)
            points = again if again is not None else points
        return points

    def _scores(self, image: np.ndarray, box: tuple[float, float, float, float]) -> dict[str, float] | None:
        if self._scorer is None:
            return None
        import mediapipe

        crop, _ = _cut(image, _window_around(box, image, WINDOW_SCALE))
        found = self._scorer.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=crop)).face_blendshapes
        return {item.category_name: float(item.score) for item in found[0]} if found else None


def _face_mesh(follow: bool) -> Any:
    from mediapipe.python.solutions.face_mesh import FaceMesh

    mesh = FaceMesh(static_image_mode=not follow, max_num_faces=1, refine_landmarks=True)
    mesh.process(np.zeros((64, 64, 3), np.uint8))
    return mesh


def _face_detector() -> Any:
    from mediapipe.python.solutions.face_detection import FaceDetection

    detector = FaceDetection(model_selection=1, min_detection_confidence=0.4)
    detector.process(np.zeros((64, 64, 3), np.uint8))
    return detector


def _landmarker(path: Path) -> Any:
    """Mediapipe's landmarker with blendshapes; the file is checked before it is opened."""
    known = KNOWN["face_landmarker.task"].sha256
    if not path.is_file() or sha256_file(path) != known:
        raise MissingTool(f"{path} is not the file of sha256 {known[:8]}... " + how_to_get("face_landmarker.task"))
    import mediapipe
    from mediapipe.tasks.python.core.base_options import BaseOptions
    from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions

    base = BaseOptions(model_asset_buffer=path.read_bytes())
    scorer = FaceLandmarker.create_from_options(FaceLandmarkerOptions(base_options=base, output_face_blendshapes=True))
    scorer.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.zeros((64, 64, 3), np.uint8)))
    return scorer


def _mesh_points(mesh: Any, image: np.ndarray, window: Window) -> np.ndarray | None:
    """[478,3] in pixels of `image`; z is in the same unit, as mediapipe scales it by the width."""
    crop, scale = _cut(image, window)
    faces = mesh.process(crop).multi_face_landmarks
    if not faces:
        return None
    height, width = crop.shape[:2]
    unit = np.array([[point.x, point.y, point.z] for point in faces[0].landmark], np.float64)
    points = unit * (width, height, width) / scale + (window[0], window[1], 0.0)
    return points.astype(np.float32)


def _cut(image: np.ndarray, window: Window) -> tuple[np.ndarray, float]:
    """The window's pixels, enlarged when small, and the enlargement."""
    import cv2

    x0, y0, x1, y1 = window
    crop = image[y0:y1, x0:x1]
    scale = max(1.0, LEAST_SIDE_PX / max(crop.shape[:2]))
    if scale > 1.0:
        size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
        crop = cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC)
    return _contiguous(crop), scale


def _contiguous(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image, np.uint8)


def _box(points: np.ndarray) -> tuple[float, float, float, float]:
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _window_around(box: tuple[float, float, float, float], image: np.ndarray, scale: float) -> Window:
    """A square of `scale` times the box's longer side around its center, cut at the image's border; whole pixels."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half = max(box[2] - box[0], box[3] - box[1], 8.0) * scale / 2
    height, width = image.shape[:2]
    x0, x1 = sorted((int(np.clip(x - half, 0, width - 8)), int(np.clip(x + half, 8, width))))
    y0, y1 = sorted((int(np.clip(y - half, 0, height - 8)), int(np.clip(y + half, 8, height))))
    return x0, y0, max(x1, x0 + 8), max(y1, y0 + 8)


def _well_inside(box: tuple[float, float, float, float], window: Window | None, image: np.ndarray) -> bool:
    """Whether the face has neither come near the window's border (where the image goes on) nor changed its size much."""
    if window is None:
        return False
    side = max(box[2] - box[0], box[3] - box[1])
    wished = _window_around(box, image, WINDOW_SCALE)
    drift = max(abs(a - b) for a, b in zip(wished, window, strict=True))
    return drift < 0.45 * side


@contextmanager
def without_chatter() -> Iterator[None]:
    """Drop the lines mediapipe's native code writes to stderr when a graph starts; every other line is passed on."""
    try:
        target = os.dup(2)
    except OSError:  # no stderr at all
        yield
        return
    with tempfile.TemporaryFile() as catch:
        sys.stderr.flush()
        os.dup2(catch.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(target, 2)
            catch.seek(0)
            kept = b"".join(line for line in catch.readlines() if not _NOISE.search(line))
            if kept:
                os.write(target, kept)
            os.close(target)
