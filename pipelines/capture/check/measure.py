"""What one look at a frame tells about the footage, before anything is reconstructed: the measurements of the capture check.

Yaw is positive where the camera sees the person's left side, which is when the head is turned to its right; expressions are raw
scores of the measured space. Nothing here needs more than the tracker's points and the pixels of the face.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.capture.cameras.candidate import view_angles
from pipelines.face.covered import PART_PX, PARTS, lip_redness, part_pictures
from pipelines.face.expression import MEASURED, measure_expression, solve_pose
from pipelines.face.movements import face_picture, lip_gap
from pipelines.face.person import correlation
from pipelines.face.tracker import FaceTracker, without_chatter

USUAL_FOCAL = 1.2
"""Focal length of a phone over the longer side of its picture."""
BENT_DEG, TRUE_DEG = (0.0, 35.0, 45.0, 50.0, 55.0, 60.0), (0.0, 35.0, 47.0, 57.0, 67.0, 77.0)
"""Toward the profile the landmarks bend to the frontal face: yaw as fitted, and as it was on a capture with known cameras."""
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
CHEEKS = (50, 280, 205, 425)
FACE_PX = 160
"""Size at which sharpness is measured."""
PICTURE_PX = 72
"""Of the face that a look keeps to be shown."""
HAND_EVERY = 5
"""Hands are looked for at every so many looks."""


@dataclass(frozen=True, kw_only=True)
class Glance:
    """One look at one frame; without a face all but the time is 0."""

    time_s: float
    found: bool = False
    yaw_deg: float = 0.0
    pitch_deg: float = 0.0
    side_px: float = 0.0
    """Longer side of the face's box in pixels of the footage."""
    sharpness: float = 0.0
    brightness: float = 0.0
    """Mean of the face, 0..255."""
    clipped: float = 0.0
    """Share of the face's pixels at the end of the scale."""
    teeth: float = 0.0
    """Share of the open mouth that is bright and hardly colored."""
    cut: bool = False
    """The face touches the border of the picture."""
    other: bool = False
    """Somebody else's face is in view."""
    stereo: bool = False
    """The picture's halves show the same."""
    color: float = 255.0
    """Mean difference of the largest and the smallest color of the face's pixels."""
    redness: float = 0.0
    """Of the lips against the skin around them."""
    parts: np.ndarray = field(default_factory=lambda: np.zeros((len(PARTS), PART_PX**2), np.float32), compare=False)
    """Pictures of mouth and eyes, see pipelines.face.covered."""
    hand: float = -1.0
    """Share of the face's box under a hand; -1 where nobody looked."""
    expression: tuple[float, ...] = (0.0,) * len(MEASURED)
    lip_gap: float = 1.0
    """Between the inner lips, over the mouth's width."""
    face: np.ndarray = field(default_factory=lambda: np.zeros((PICTURE_PX, PICTURE_PX, 3), np.uint8), compare=False)
    """A small picture of it."""


class Glancer:
    """A context manager around the tracker and the hand finder: looks at the frames of one video in their order."""

    def __init__(self, canonical: np.ndarray, shrunk: float, still: bool = False):
        """`shrunk`: pixels of the footage over pixels of the pictures; `still`: photos, of which none follows another."""
        self.canonical, self.shrunk = canonical, shrunk
        self.count, self.pose = 0, None
        self.tracker, self.hands = FaceTracker(video=not still, largest=not still), _hands()

    def __enter__(self) -> "Glancer":
        return self

    def __exit__(self, *_: object) -> None:
        self.tracker.close()
        self.hands.close()

    def look(self, image: np.ndarray, time_s: float) -> Glance:
        face = self.tracker.track(image, time_s)
        if face is None:
            self.pose = None
            return Glance(time_s=time_s)
        self.count += 1
        points, (height, width) = face.points, image.shape[:2]
        longest = max(height, width)
        self.pose, _ = solve_pose(points, self.canonical, USUAL_FOCAL * longest, (width / 2, height / 2), self.pose)
        yaw, pitch = view_angles(self.pose[None])[0]
        x0, y0, x1, y1 = face.box
        return Glance(
            time_s=time_s, found=True, yaw_deg=straightened(float(yaw)), pitch_deg=float(pitch),
            side_px=max(x1 - x0, y1 - y0) * self.shrunk, **of_pixels(image, points),
            cut=x0 < 1 or y0 < 1 or x1 > width - 1 or y1 > height - 1,
            other=face.other is not None, stereo=face.other is not None and halves_alike(image),
            parts=part_pictures(image, points, self.canonical), redness=lip_redness(image, points),
            hand=self._hand(image, face.box) if self.count % HAND_EVERY == 1 else -1.0,
            expression=tuple(map(float, measure_expression(points, self.canonical))),
            lip_gap=float(lip_gap(points)), face=face_picture(image, points, PICTURE_PX),
        )  # fmt: skip

    def _hand(self, image: np.ndarray, box: tuple[float, float, float, float]) -> float:
        """Share of the box under the hulls of hands."""
        import cv2

        height, width = image.shape[:2]
        x0, y0, x1, y1 = (int(v) for v in np.clip(box, 0, [width, height, width, height]))
        covered = np.zeros((height, width), np.uint8)
        for hand in self.hands.process(np.ascontiguousarray(image)).multi_hand_landmarks or ():
            at = np.array([[point.x * width, point.y * height] for point in hand.landmark], np.float32)
            cv2.fillConvexPoly(covered, cv2.convexHull(at).round().astype(np.int32), 1)
        return float(covered[y0:y1, x0:x1].mean()) if x1 > x0 and y1 > y0 else 0.0


def straightened(yaw_deg: float) -> float:
    """Yaw of a fitted pose with the landmarks' bend toward the frontal face taken out; straightened(-55) = -67."""
    size = abs(yaw_deg)
    true = float(np.interp(size, BENT_DEG, TRUE_DEG)) + max(0.0, size - BENT_DEG[-1])
    return float(np.sign(yaw_deg) * true)


def of_pixels(image: np.ndarray, points: np.ndarray) -> dict[str, float]:
    """Sharpness, brightness, clipped, teeth of the face at `points` [478,3] in uint8 [H,W,3]."""
    import cv2

    low = np.maximum(points[:, :2].min(0).astype(int), 0)
    high = np.maximum(points[:, :2].max(0).astype(int), low + 2)
    face = image[low[1] : high[1], low[0] : high[0]]
    if min(face.shape[:2]) < 8:
        return {}
    scale = min(1.0, FACE_PX / max(face.shape[:2]))
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    down, across = np.gradient(gray)
    return {
        "sharpness": float((down**2 + across**2).mean() / (gray.var() + 25.0)), "brightness": float(gray.mean()),
        "color": float((small.max(2).astype(int) - small.min(2)).mean()),
        "clipped": float((small.max(2) >= 252).mean()), "teeth": teeth_in(small, (points[:, :2] - low) * scale),
    }  # fmt: skip


def teeth_in(face: np.ndarray, at: np.ndarray) -> float:
    """Share of the open mouth of a small face (uint8 [h,w,3], points [478,2]) that looks like teeth; 0 when it is closed."""
    import cv2

    lips = at[list(INNER_LIPS)].astype(np.float32)
    width = float(np.linalg.norm(at[33] - at[263]))
    if cv2.contourArea(lips) < 0.012 * width**2:
        return 0.0
    inside = cv2.fillPoly(np.zeros(face.shape[:2], np.uint8), [lips.round().astype(np.int32)], 1) > 0
    skin = np.median([face[int(y), int(x)].max() for x, y in np.clip(at[list(CHEEKS)], 0, np.array(face.shape[1::-1]) - 1)])
    color = face[inside].astype(np.float32)
    if not len(color):
        return 0.0
    bright, gray = color.max(1) > 0.62 * skin, color.min(1) > 0.66 * np.maximum(color.max(1), 1)
    return float((bright & gray).mean())


def halves_alike(image: np.ndarray) -> bool:
    """Whether the left and the right half of uint8 [H,W,3], or the upper and the lower one, are nearly the same picture."""
    import cv2

    small = cv2.GaussianBlur(cv2.cvtColor(cv2.resize(image, (64, 64)), cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 2)
    pairs = ((small[:, :32], small[:, 32:]), (small[:32], small[32:]))
    return any(one.std() > 8 and correlation(one, other) > 0.8 for one, other in pairs)


def _hands() -> Any:
    from mediapipe.python.solutions.hands import Hands

    with without_chatter():
        hands = Hands(static_image_mode=True, max_num_hands=2, model_complexity=0, min_detection_confidence=0.75)
        hands.process(np.zeros((64, 64, 3), np.uint8))
    return hands
