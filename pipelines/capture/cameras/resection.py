"""Cameras of the frames between the views: points of the model followed into them, then one pose each.

Points that the view before and the view after see are looked for where the expected pose shows them, by pyramidal Lucas-Kanade
(Bouguet 2001), there and back. The pose is the one they agree on: RANSAC, then least squares over what fits.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.capture.footage.lens import Lens
from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.core.files import read_image

LONGEST_PX = 960
MOST = 500
"""Points followed from each of the two views."""
WITHIN_PX = 2.5
"""Distance from the projection at which a followed point still fits, in the picture of at most `LONGEST_PX`."""
LEAST = 20
"""Points that must fit."""
LEAST_SHARE = 0.4
"""Of the followed points, else they follow something else."""
FAR_S = 1.0
"""Points are not followed over a longer time than this."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Points of a model in its views, a row a sighting."""

    row: np.ndarray
    """[M] row of the capture's frames."""
    px: np.ndarray
    """[M,2] in the frame."""
    point: np.ndarray
    """[M,3] in the model's world."""

    @staticmethod
    def nothing() -> "Seen":
        return Seen(row=np.zeros(0, int), px=np.zeros((0, 2)), point=np.zeros((0, 3)))


@dataclass(frozen=True, kw_only=True)
class Registered:
    camera_from_world: np.ndarray
    """[N,4,4] of all frames; the expected pose where `count` is 0."""
    count: np.ndarray
    """[N] points that fit."""


def register(partial: Path, chosen: Scan, seen: Seen, views: np.ndarray, expected: np.ndarray, lens: Lens) -> Registered:
    """Poses [N,4,4] of all frames from those `expected`; the rows `views` keep theirs.

    The frames are as they were filmed, through `lens`; `seen` is without it.
    """
    poses, count = expected.copy(), np.zeros(len(expected), int)
    scale = min(1.0, LONGEST_PX / max(lens.size))
    look = replace(lens, focal_px=lens.focal_px * scale, size=(lens.size[0] * scale, lens.size[1] * scale))
    picture = lru_cache(maxsize=4)(lambda row: _gray(partial, chosen, row, scale))
    count[views] = np.bincount(seen.row.astype(int), minlength=len(expected))[views]
    for row in sorted({*range(len(expected))} - set(views.tolist())):
        near = [view for view in _beside(row, views) if abs(chosen.time_s[view] - chosen.time_s[row]) <= FAR_S]
        found = [_followed(picture, view, row, seen, scale, expected[row], look) for view in near]
        if found:
            points, px = (np.concatenate(column) for column in zip(*found, strict=True))
            pose, fits = agreed(points, px, expected[row], look.matrix)
            if fits >= LEAST and fits >= LEAST_SHARE * len(px):
                poses[row], count[row] = pose, fits
    return Registered(camera_from_world=poses, count=count)


def agreed(points: np.ndarray, px: np.ndarray, guess: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, int]:
    """camera_from_world [4,4] that most of `points` [K,3] seen at `px` [K,2] agree on, and how many do."""
    import cv2

    if len(points) < LEAST:
        return guess, 0
    turn, shift = cv2.Rodrigues(guess[:3, :3])[0], guess[:3, 3:].copy()
    good, turn, shift, rows = cv2.solvePnPRansac(
        points, px, matrix, None, turn, shift, useExtrinsicGuess=True, iterationsCount=200, reprojectionError=WITHIN_PX
    )
    if not good or rows is None or len(rows) < 6:
        return guess, 0
    fits = np.zeros(len(points), bool)
    fits[np.asarray(rows, int)[:, 0]] = True
    for _ in range(3):
        turn, shift = cv2.solvePnPRefineLM(points[fits], px[fits], matrix, None, turn, shift)
        off = np.linalg.norm(cv2.projectPoints(points, turn, shift, matrix, None)[0][:, 0] - px, axis=1)
        fits = off < min(WITHIN_PX, max(3 * float(np.median(off)), 0.5))
        if fits.sum() < LEAST:
            return guess, 0
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(turn)[0], shift[:, 0]
    return pose, int(fits.sum())


def _beside(row: int, views: np.ndarray) -> list[int]:
    """The views before and after a row."""
    after = int(np.searchsorted(views, row))
    return [int(views[at]) for at in (after - 1, after) if 0 <= at < len(views)]


def _followed(
    picture: Callable[[int], np.ndarray],
    view: int,
    row: int,
    seen: Seen,
    scale: float,
    expected: np.ndarray,
    look: Lens,
) -> tuple[np.ndarray, np.ndarray]:
    """The view's points [K,3] that were found in the picture `row`, and where [K,2] (px of the small picture, no lens)."""
    import cv2

    rows = np.flatnonzero(seen.row == view)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, MOST).round().astype(int))] if len(rows) > MOST else rows
    if not len(rows):
        return np.zeros((0, 3)), np.zeros((0, 2))
    here, points = look.distort(seen.px[rows] * scale) - 0.5, seen.point[rows]
    inside = points @ expected[:3, :3].T + expected[:3, 3]
    there = look.distort((inside / np.maximum(inside[:, 2:], 1e-6)) @ look.matrix[:2].T) - 0.5
    lost = np.abs(there - here).max(axis=1) > 0.2 * LONGEST_PX
    there[lost] = here[lost]
    one, other = picture(view), picture(row)
    options: dict[str, Any] = {"winSize": (17, 17), "maxLevel": 3, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW}
    start, goal = (value.astype(np.float32)[:, None].copy() for value in (here, there))
    goal, found, _ = cv2.calcOpticalFlowPyrLK(one, other, start, goal, **options)
    back, returned, _ = cv2.calcOpticalFlowPyrLK(other, one, goal, start.copy(), **options)
    near = np.linalg.norm((back - start)[:, 0], axis=1) < 0.5
    kept = near & (found[:, 0] > 0) & (returned[:, 0] > 0) & (inside[:, 2] > 0)
    return points[kept], look.undistort(goal[kept, 0].astype(np.float64) + 0.5)


def _gray(partial: Path, chosen: Scan, row: int, scale: float) -> np.ndarray:
    import cv2

    image = cv2.cvtColor(read_image(partial / "frames" / f"{frame_name(int(chosen.index[row]))}.jpg"), cv2.COLOR_RGB2GRAY)
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
