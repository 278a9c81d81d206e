"""What of a person's matte a generator is taught, by the region its frame names: the head alone, with shoulders, or all.

With cameras taken from the head's pose everything below the neck would swing with every nod, so a family that models the head
alone gets a matte that ends at the neck, smoothly: w = fall(below) (1 - shoulder), fall a cubic step from 1 to 0. `below` is
the height under the chin, `aside` the distance from the neck's axis (x = z = 0), both of the point of a pixel's ray nearest to
that axis, so the weight does not swing when the head turns sideways. Hair above the chin and near the neck keeps its weight.
"""

from dataclasses import dataclass

import numpy as np

from models.head_frame import MatteRegion
from pipelines.face.canonical import canonical_landmarks

CHIN = 152


@dataclass(frozen=True, kw_only=True)
class Fall:
    """Where a region ends, in metres; None: it does not."""

    below_chin_m: tuple[float, float]
    """Down to the first depth under the chin the matte is whole, from the second on it is nothing."""
    shoulder_height_m: tuple[float, float] | None = None
    """Shoulders are looked for up to the first height above the chin, and fade out up to the second."""
    shoulder_distance_m: tuple[float, float] = (0.0864, 0.128)
    """At these heights what is nearer to the neck's axis than the first stays, beyond the second it is shoulder."""


FALLS: dict[MatteRegion, Fall | None] = {
    "head and neck": Fall(below_chin_m=(0.0096, 0.048), shoulder_height_m=(0.0064, 0.0384), shoulder_distance_m=(0.06, 0.085)),
    "head": Fall(below_chin_m=(0.0096, 0.048), shoulder_height_m=(0.0064, 0.0384)),
    "head and shoulders": Fall(below_chin_m=(0.16, 0.26)),
    "upper body": None,
}
"""Shoulders lie 13 to 18 cm below the chin of a standing adult."""


def region_weight(region: MatteRegion, world_from_camera: np.ndarray, intrinsics: np.ndarray, size: int) -> np.ndarray:
    """float32 [size,size] in 0..1 of a camera [4,4] in the metric head frame; intrinsics [3,3] are over the picture's side."""
    fall = FALLS[region]
    if fall is None:
        return np.ones((size, size), np.float32)
    below, aside = _from_neck(world_from_camera, intrinsics, size)
    weight = falling(below, *fall.below_chin_m)
    if fall.shoulder_height_m is not None:
        weight *= 1 - falling(-below, *fall.shoulder_height_m) * (1 - falling(aside, *fall.shoulder_distance_m))
    return weight


def face_weight(points: np.ndarray, box: tuple[float, float, float], size: int) -> np.ndarray:
    """float32 [size,size]: 1 inside the outline of the tracked face with a soft rim, so that an open jaw is never cut.

    `points` [478,2 or 3] px of the frame, `box` the picture's x0, y0, side in it.
    """
    import cv2

    at = (points[:, :2] - box[:2]) * size / box[2]
    outline = cv2.convexHull(at.astype(np.float32)).round().astype(np.int32)
    face = cv2.fillConvexPoly(np.zeros((size, size), np.float32), outline, 1.0)
    radius = max(1, size // 42)
    wider = cv2.dilate(face, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
    return cv2.GaussianBlur(wider, (0, 0), size / 80)


def falling(value: np.ndarray, start: float, end: float) -> np.ndarray:
    """1 up to `start`, 0 from `end` on, a smooth step between."""
    t = np.clip((end - value) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def _from_neck(world_from_camera: np.ndarray, intrinsics: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth under the chin and distance from the neck's axis, float32 [size,size] m, where each ray passes the axis."""
    unit = (np.arange(size, dtype=np.float32) + 0.5) / size
    x = ((unit - intrinsics[0, 2]) / intrinsics[0, 0]).astype(np.float32)[None, :]
    y = ((unit - intrinsics[1, 2]) / intrinsics[1, 1]).astype(np.float32)[:, None]
    turn, eye = world_from_camera[:3, :3].astype(np.float32), world_from_camera[:3, 3].astype(np.float32)
    across, up, out = (turn[axis, 0] * x + turn[axis, 1] * y + turn[axis, 2] for axis in range(3))
    level = np.maximum(across * across + out * out, 1e-9)
    along = -(across * eye[0] + out * eye[2]) / level
    below = np.float32(canonical_landmarks()[CHIN, 1]) - (eye[1] + along * up)
    return below, np.abs(across * eye[2] - out * eye[0]) / np.sqrt(level)
