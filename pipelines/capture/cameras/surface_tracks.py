"""Points of the head's surface followed from frame to frame: hair line, ears, glasses, brows, moles.

The tracker's landmarks bend with the expression and drift toward the profile; what is seen of the upper head itself does not.
Corners are followed by pyramidal Lucas-Kanade (Bouguet 2001) in the square around the head of the mattes, forward and back,
and only above the mouth, inside the matte, away from the eyes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.capture.mattes.crop_squares import region
from pipelines.capture.mattes.person import REGION_PX
from pipelines.core.files import read_image
from pipelines.media.squares import cut_square

EYES = ((33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
        (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466))  # fmt: skip
"""Rims of the lids."""
NOSE_BASE, LEFT_MOUTH, RIGHT_MOUTH = 2, 291, 61
MOST = 200
"""Points followed at a time."""
LEAST_LENGTH = 4
"""Sightings a point needs to count."""


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """Sightings, a row each."""

    frame: np.ndarray
    """[M] row of the capture's frames."""
    track: np.ndarray
    """[M] number of the point, from 0 without gaps."""
    px: np.ndarray
    """[M,2] in the frame."""

    @staticmethod
    def none() -> "Tracks":
        return Tracks(frame=np.zeros(0, int), track=np.zeros(0, int), px=np.zeros((0, 2)))


def follow(partial: Path, chosen: Scan) -> Tracks:
    """The points followed through all chosen frames, each seen in at least four of them."""
    followed, rows, last, serial = np.zeros((0, 2), np.float32), [], None, np.zeros(0, int)
    count = 0
    for row, (index, points) in enumerate(zip(chosen.index, chosen.points, strict=True)):
        box, name = region(points), frame_name(index)
        image = _gray(cut_square(read_image(partial / "frames" / f"{name}.jpg"), box, REGION_PX))
        usable = rigid_mask(read_image(partial / "work" / "mattes" / f"{name}.png"), points, box)
        if last is not None and len(followed):
            followed, good = _followed(last, image, followed)
            inside = usable[tuple(np.clip(followed.round().astype(int), 0, REGION_PX - 1).T[::-1])] > 0
            followed, serial = followed[good & inside], serial[good & inside]
        fresh = _corners(image, usable, followed)
        followed = np.concatenate([followed, fresh])
        serial = np.concatenate([serial, count + np.arange(len(fresh))])
        count += len(fresh)
        px = (followed + 0.5) * box[2] / REGION_PX + (box[0], box[1])
        rows.append((np.full(len(serial), row), serial, px))
        last = image
    frame, track, px = (np.concatenate(column) for column in zip(*rows, strict=True))
    return _long_enough(frame, track, px)


def _long_enough(frame: np.ndarray, track: np.ndarray, px: np.ndarray) -> Tracks:
    keep = np.bincount(track)[track] >= LEAST_LENGTH if len(track) else np.zeros(0, bool)
    _, renumbered = np.unique(track[keep], return_inverse=True)
    return Tracks(frame=frame[keep], track=renumbered, px=px[keep])


def _gray(image: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _followed(last: np.ndarray, image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where [K,2] points of `last` are in `image`, and which came back to within 0.7 px when followed the other way."""
    import cv2

    options = {"winSize": (13, 13), "maxLevel": 3, "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)}
    there, found, _ = cv2.calcOpticalFlowPyrLK(last, image, points[:, None], None, **options)  # type: ignore[call-overload]
    back, returned, _ = cv2.calcOpticalFlowPyrLK(image, last, there, None, **options)  # type: ignore[call-overload]
    near = np.linalg.norm(back[:, 0] - points, axis=1) < 0.7
    return there[:, 0], near & (found[:, 0] > 0) & (returned[:, 0] > 0)


def _corners(image: np.ndarray, usable: np.ndarray, followed: np.ndarray) -> np.ndarray:
    """New corners [K,2] away from those followed already, up to `MOST` together."""
    import cv2

    free = usable.copy()
    for x, y in followed.round().astype(int):
        cv2.circle(free, (int(x), int(y)), 8, 0, -1)
    wanted = MOST - len(followed)
    if wanted < 10:
        return np.zeros((0, 2), np.float32)
    found = cv2.goodFeaturesToTrack(image, wanted, 0.01, 8, mask=free, blockSize=5)
    return found[:, 0].astype(np.float32) if found is not None else np.zeros((0, 2), np.float32)


def rigid_mask(matte: np.ndarray, points: np.ndarray, box: tuple[float, float, float]) -> np.ndarray:
    """uint8 [512,512] of 0 and 1 in the square of the matte: surely person, above the line between nose and mouth, no eyes."""
    import cv2

    mask = cv2.erode((matte > 220).astype(np.uint8), np.ones((17, 17), np.uint8))
    at = (points[:, :2] - (box[0], box[1])) * REGION_PX / box[2]
    for rim in EYES:
        cv2.fillConvexPoly(mask, cv2.convexHull(at[list(rim)].round().astype(np.int32)), 0)
    across = at[LEFT_MOUTH] - at[RIGHT_MOUTH]
    down = np.array([-across[1], across[0]]) / max(float(np.linalg.norm(across)), 1e-6)
    border = 0.6 * at[NOSE_BASE] + 0.4 * (at[LEFT_MOUTH] + at[RIGHT_MOUTH]) / 2
    y, x = np.mgrid[0:REGION_PX, 0:REGION_PX]
    mask[(x - border[0]) * down[0] + (y - border[1]) * down[1] > 0] = 0
    return mask
