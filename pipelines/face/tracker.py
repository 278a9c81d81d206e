"""Finding one face in an image or following it through a video: 478 points by mediapipe's face mesh.

Notable choices: the mesh sees only a window around the face (its own detector misses faces under about 15 % of the width),
chosen by a full-range detector where needed and moved rarely, because the mesh is steadiest while it follows its own last
landmarks; after each move, and for every single image, it runs several times on the same frame, so that a fresh start and a
long run agree. Where mediapipe sees nothing, a second detector that is handed in may say where to look. With several people in
view a tracker that is told to looks around now and then and moves on to a face that is clearly larger; one that lost its face
looks for it where it was. No state lies outside the tracker.
"""

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pipelines.assets.store import KNOWN, how_to_get
from pipelines.core.errors import MissingTool
from pipelines.core.files import sha256_file

LEAST_SIDE_PX = 320
"""Windows smaller than this are enlarged before the mesh sees them (renders of 128 px)."""
WINDOW_SCALE = 2.4
"""Side of the window over the longer side of the face's box."""

SETTLING = 3
"""Looks at the first frame in a new window; the mesh places its own crop by the last landmarks, and that has to converge."""

LOOK_AROUND = 15
"""Frames between two looks for other faces."""
CLEARLY_LARGER = 1.3
"""Ratio of the sides of two faces from which on the larger one is followed."""
CERTAIN = 0.6
"""Score of the full-range detector from which on another face is believed."""
FINDERS = ("mesh", "detector", "second")
"""Who can find a face: the mesh's own detector, mediapipe's full-range detector, the second detector."""
PATIENCE = 5
"""Frames in a row without a face after which the second detector is asked for every fifth alone."""
SHORT_RANGE = 2.0
"""A lost face is looked for within this many of its sides."""

_NOISE = re.compile(rb"^[IW]\d{4} \d\d:\d\d|TensorFlow Lite XNNPACK|absl::InitializeLog")
"""Information and warnings of absl; its errors are passed on."""

Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, inside the image."""
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels."""


@dataclass(frozen=True)
class FaceLandmarks:
    """One face in one image."""

    points: np.ndarray
    """[478,3] float32: x, y in pixels of the image (the center of the first pixel is 0.5), z in pixels, smaller = nearer."""
    box: tuple[float, float, float, float]
    """x0, y0, x1, y1 of the points."""
    blendshapes: dict[str, float] | None = None
    """Mediapipe's scores by ARKit name, when the tracker was given its model."""
    finder: str = "mesh"
    """Who of FINDERS found this face when it was last looked for."""
    other: tuple[float, float, float, float] | None = None
    """Box of the largest other face at the last look around."""


class FaceTracker:
    """A context manager around mediapipe's models.

    `video=True` follows one face from frame to frame; two trackers that start at the same frame give the same points.
    `video=False` treats every image alone. `blendshapes` is the path of `face_landmarker.task`; MissingTool if it is not it.
    `second` says where a face is when mediapipe finds none; `largest` begins with the largest face and moves on to a larger
    one, `stay` begins so and stays.
    """

    def __init__(
        self, *, video: bool, blendshapes: Path | None = None, second: Callable[[np.ndarray], Any] | None = None,
        largest: bool = False, stay: bool = False,
    ):  # fmt: skip
        self._video, self._second, self._largest, self._stay = video, second, largest or stay, stay
        self._window: Window | None = None
        self._last: Box | None = None
        self._other: Box | None = None
        self._finder_name, self._looks, self._misses = "mesh", 0, 0
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
        if points is not None and self._largest:
            points = self._looked_around(image, points)
        if points is None:
            return None
        box = _box(points)
        if self._video and not _well_inside(box, self._window, image):
            self._window = None
            points = self._settled(image, _window_around(box, image, WINDOW_SCALE))
            if points is None:
                return None
            box = _box(points)
        self._last, self._misses = (box if self._video else None), 0
        return FaceLandmarks(points, box, self._scores(image, box), self._finder_name, self._other)

    def restart(self) -> None:
        """Forget who was followed: the next picture is another shot."""
        self._window = self._last = self._other = None

    def look_at(self, image: np.ndarray, box: Box) -> FaceLandmarks | None:
        """Follow the face in a box of uint8 [H,W,3] from now on; None where the mesh sees none there."""
        points = self._settled(image, _window_around(box, image, 3.0))
        if points is None:
            return None
        box = _box(points)
        self._last, self._finder_name = (box if self._video else None), "detector"
        return FaceLandmarks(points, box, self._scores(image, box), self._finder_name, self._other)

    def others(self, image: np.ndarray, face: FaceLandmarks) -> list[FaceLandmarks]:
        """All other faces in a picture; `face` is followed as before."""
        window, last = self._window, self._last
        boxes = [box for box, _ in self._faces(image) if not _holds(face.box, _middle(box))]
        found = [one for box in boxes if (one := self.look_at(image, box)) is not None]
        self._window, self._last = window, last
        if boxes and window is not None:
            self._settled(image, window)
        return found

    def _followed(self, image: np.ndarray) -> np.ndarray | None:
        assert self._window is not None
        points = _mesh_points(self._mesh, image, self._window)
        if points is None:
            self._window = None
        return points

    def _found(self, image: np.ndarray) -> np.ndarray | None:
        """Search the whole image, closely if the mesh sees a face at once, else where a detector says."""
        self._looks, self._other = 0, None
        if self._last is not None and (points := self._found_again(image)) is not None:
            return points
        whole = (0, 0, image.shape[1], image.shape[0])
        points = _mesh_points(self._finder, image, whole)
        window = _window_around(_box(points), image, WINDOW_SCALE) if points is not None else self._detected(image)
        self._finder_name = "mesh" if points is not None else "detector"
        if window is None or (closer := self._settled(image, window)) is None:
            return points if points is not None else self._found_second(image)
        return closer

    def _found_again(self, image: np.ndarray) -> np.ndarray | None:
        """The lost face near the place where it was, so that nobody else is taken for it; forgotten when it is not there."""
        last, self._last = self._last, None
        assert last is not None
        side = max(last[2] - last[0], last[3] - last[1])
        near = [box for box, _ in self._faces(image) if np.hypot(*(_middle(box) - _middle(last))) < SHORT_RANGE * side]
        if not near:
            return None
        self._finder_name = "detector"
        closest = min(near, key=lambda box: float(np.hypot(*(_middle(box) - _middle(last)))))
        return self._settled(image, _window_around(closest, image, 3.0))

    def _found_second(self, image: np.ndarray) -> np.ndarray | None:
        """Where the second detector says; it is slow, so after some misses in a row it is asked less often."""
        self._misses += 1
        often = not self._video or self._misses <= PATIENCE or self._misses % PATIENCE == 0
        box = self._second(image) if self._second is not None and often else None
        self._finder_name = "second"
        return self._settled(image, _window_around(box, image, 3.0)) if box is not None else None

    def _detected(self, image: np.ndarray) -> Window | None:
        """The window of the most certain face of the full-range detector, or of the largest certain one."""
        faces = self._faces(image)
        if not faces:
            return None
        certain = [face for face in faces if face[1] >= CERTAIN] if self._largest else []
        box = max(certain, key=lambda face: _side(face[0]))[0] if certain else max(faces, key=lambda face: face[1])[0]
        return _window_around(box, image, 3.0)

    def _faces(self, image: np.ndarray) -> list[tuple[Box, float]]:
        """Box and score of all faces of the full-range detector."""
        height, width = image.shape[:2]
        result = []
        for found in self._detector.process(_contiguous(image)).detections or ():
            area = found.location_data.relative_bounding_box
            x, y, wide, high = area.xmin * width, area.ymin * height, area.width * width, area.height * height
            result.append(((x, y, x + wide, y + high), float(found.score[0])))
        return result

    def _looked_around(self, image: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """The same points, or those of a clearly larger face; now and then only."""
        self._looks += 1
        if self._looks % LOOK_AROUND != 1:
            return points
        box = _box(points)
        others = [face for face, score in self._faces(image) if score >= CERTAIN and not _holds(box, _middle(face))]
        self._other = max(others, key=_side, default=None)
        if self._stay or self._other is None or _side(self._other) < CLEARLY_LARGER * _side(box):
            return points
        window = self._window
        larger = self._settled(image, _window_around(self._other, image, 3.0))
        if larger is not None:
            self._other, self._finder_name = box, "detector"
            return larger
        return self._settled(image, window) if window is not None else points

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
    known = KNOWN["face_landmarker.task"].sha256 or ""
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


def _middle(box: Box) -> np.ndarray:
    return np.array([box[0] + box[2], box[1] + box[3]]) / 2


def _side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _holds(box: Box, point: np.ndarray) -> bool:
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])


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
