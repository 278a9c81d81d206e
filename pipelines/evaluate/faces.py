"""What a tracker finds in pictures of the avatar: is the mouth open when it was, how far are expression and head pose off.

Notable choices: filmed frames and renders are tracked alike, at the size and over the background of the evaluation, each
picture by itself, so that what the tracker loses in small pictures is lost on both sides. What that costs is measured: filmed
frames, shrunk, against the capture's own tracking of them stand beside the others as `tracker`. Expressions are compared in one
space, the measured one, whatever the avatar listens to, so that avatars of different spaces can be compared.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.face.expression import MEASURED, measure_expression, solve_pose
from pipelines.geometry.angles import rotation_angle_deg

INNER_LIPS, OUTER_CORNERS = (13, 14), (33, 263)
OPEN, UNSURE = 0.06, 0.02
"""Mouth opening (issue of the personalization) and how near to it a filmed frame is not asked."""
Find = Callable[[np.ndarray], "np.ndarray | None"]
"""uint8 [H,W,3] RGB -> landmarks [478,3] in pixels, or None."""

DEFINITIONS = {
    "mouth_state": (
        f"open where the distance of the inner lips (points {INNER_LIPS[0]} and {INNER_LIPS[1]}) over that of the outer eye "
        f"corners ({OUTER_CORNERS[0]} and {OUTER_CORNERS[1]}) is above {OPEN}; ignored are frames filmed within {UNSURE} of it "
        "and those in which the tracker does not find the face in both pictures"
    ),
    "aed": (
        "average expression distance: mean absolute difference over the 27 measured channels (1 is about a full expression) "
        "between render and filmed frame, both tracked at the evaluated size"
    ),
    "apd": (
        "average pose distance: angle in degrees, and distance in hundredths of the head box, between the head poses found in "
        "render and filmed frame (the cameras are the same, so 0 is perfect)"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Faces:
    """What the tracker saw in N pictures; rows that are not `found` hold zeros."""

    found: np.ndarray
    """[N] bool"""
    points: np.ndarray
    """[N,478,3] px of the picture"""
    opening: np.ndarray
    """[N] inner lips over eye corners"""
    expression: np.ndarray
    """[N,27] measured"""
    pose: np.ndarray
    """[N,4,4] camera_from_head"""


@contextmanager
def tracker() -> Iterator[Find]:
    """The capture's face tracker, every picture by itself."""
    from pipelines.face.tracker import FaceTracker

    with FaceTracker(video=False) as model:

        def find(image: np.ndarray) -> np.ndarray | None:
            face = model.track(image)
            return None if face is None else face.points

        yield find


def look(images: np.ndarray, find: Find, canonical: np.ndarray, intrinsics: np.ndarray) -> Faces:
    """The faces in images [N,S,S,3] of 0..1, whose cameras have `intrinsics` [N,3,3] over the image's side.

    An image that repeats the one before it (the mean frame does) is looked at once.
    """
    points: list[np.ndarray | None] = []
    for number, image in enumerate(images):
        repeated = number > 0 and np.array_equal(image, images[number - 1])
        points.append(points[-1] if repeated else find((image * 255).round().astype(np.uint8)))
    return measure_face(points, canonical, intrinsics, images.shape[1])


def measure_face(points: list[np.ndarray | None], canonical: np.ndarray, intrinsics: np.ndarray, size: int) -> Faces:
    """What landmarks [478,3] in pixels of a picture of `size` say, None where no face was found."""
    count = len(points)
    found = np.array([one is not None for one in points], bool)
    every, opening, expression = np.zeros((count, 478, 3)), np.zeros(count), np.zeros((count, len(MEASURED)))
    pose = np.tile(np.eye(4), (count, 1, 1))
    for row, one in enumerate(points):
        if one is not None:
            fx, center = intrinsics[row, 0, 0] * size, intrinsics[row, :2, 2] * size
            every[row], opening[row], expression[row] = one, mouth_opening(one), measure_expression(one, canonical)
            pose[row] = solve_pose(one, canonical, float(fx), (float(center[0]), float(center[1])))[0]
    return Faces(found=found, points=every, opening=opening, expression=expression, pose=pose)


def mouth_opening(points: np.ndarray) -> float:
    """Distance of the inner lips over that of the outer eye corners, of points [478,3]; 0.06 and more is open.

    In three dimensions, so that a turned head, whose eye corners come nearer to each other, does not open its mouth.
    """
    gap = np.linalg.norm(points[INNER_LIPS[0]] - points[INNER_LIPS[1]])
    return float(gap / max(np.linalg.norm(points[OUTER_CORNERS[0]] - points[OUTER_CORNERS[1]]), 1e-9))


def mouths(render: Faces, truth: Faces) -> list[dict[str, Any]]:
    """Of each frame how far the mouth was filmed and rendered open, and whether that is right; None where it cannot be said."""
    rows = []
    for filmed, rendered, seen, known in zip(truth.opening, render.opening, render.found, truth.found, strict=True):
        asked = bool(seen and known and abs(filmed - OPEN) > UNSURE)
        rows.append(
            {
                "mouth_filmed": float(filmed) if known else None, "mouth_rendered": float(rendered) if seen else None,
                "mouth_right": bool((filmed > OPEN) == (rendered > OPEN)) if asked else None,
            }
        )  # fmt: skip
    return rows


def mouth_state(render: Faces, truth: Faces) -> dict[str, Any]:
    """How often a mouth is open where it was filmed open, and closed where closed; `share` is None where no frame counts.

    Openings filmed 0.10, 0.05, 0.01 and rendered 0.07, 0.0, 0.08: the second is too near to 0.06 to count; 1 of 2 is right.
    """
    both = render.found & truth.found
    sure = np.abs(truth.opening - OPEN) > UNSURE
    asked = both & sure
    was_open, is_open = truth.opening > OPEN, render.opening > OPEN
    right = int((asked & (was_open == is_open)).sum())
    opened, closed = int((asked & was_open).sum()), int((asked & ~was_open).sum())
    return {
        "share": right / int(asked.sum()) if asked.any() else None, "right": right, "asked": int(asked.sum()),
        "open": opened, "open_right": int((asked & was_open & is_open).sum()),
        "closed": closed, "closed_right": int((asked & ~was_open & ~is_open).sum()),
        "unsure": int((both & ~sure).sum()), "not_tracked": int((~both).sum()),
        "correlation": correlation(render.opening[both], truth.opening[both]),
    }  # fmt: skip


def face_distances(render: Faces, truth: Faces) -> dict[str, Any]:
    """AED and APD over the frames in which both faces were found (None where there is none), and how many were."""
    both = render.found & truth.found
    if not both.any():
        return {"found": int(render.found.sum()), "aed": None, "apd_deg": None, "apd_shift": None, "channels": {}}
    off = np.abs(render.expression[both] - truth.expression[both])
    turned = rotation_angle_deg(render.pose[both, :3, :3], truth.pose[both, :3, :3])
    shift = np.linalg.norm(render.pose[both, :3, 3] - truth.pose[both, :3, 3], axis=1)
    return {
        "found": int(render.found.sum()), "aed": float(off.mean()), "apd_deg": float(turned.mean()),
        "apd_shift": float(100 * shift.mean()), "channels": dict(zip(MEASURED, off.mean(0).tolist(), strict=True)),
    }  # fmt: skip


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Pearson's, None where one of the two does not move."""
    if len(a) < 3 or a.std() < 1e-9 or b.std() < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])
