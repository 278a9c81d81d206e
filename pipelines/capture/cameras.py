"""Where the camera was for every frame, relative to the head: from landmarks or from COLMAP, whichever is better supported."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.capture.bundle import Bundle, BundlePrior, adjust
from pipelines.capture.frames import Scan
from pipelines.errors import UnusableMaterial
from pipelines.face_fit import RIGID, solve_pose
from pipelines.files import read_arrays, write_arrays
from pipelines.priors import Prior
from pipelines.stage import Progress
from pipelines.video import VideoInfo


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    method: Literal["auto", "landmarks", "colmap"] = "auto"
    focal_px: float | None = None
    """Focal length in pixels of the footage; estimated when not given."""
    focal_prior: float = 1.2
    """Usual focal length of a phone over the longer side of its picture."""
    focal_range: tuple[float, float] = (0.7, 1.8)
    """What a focal length over the longer side can be."""
    sfm_views: int = 60
    """Frames COLMAP gets at most."""
    sfm_longest_side_px: int = 960
    sfm_timeout_s: float = 180.0
    max_jump_deg: float = 6.0
    """A pose further than this from the median of its neighbors within 0.3 s is dropped."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Cameras of all chosen frames in a world of their own."""

    method: str
    camera_from_world: np.ndarray
    """[N,4,4], OpenCV axes."""
    focal_px: float
    points: np.ndarray
    """[R,3] the RIGID landmarks in this world."""
    error_px: np.ndarray
    """[N] of the landmarks."""
    confidence: np.ndarray
    """[N] in 0..1; 0 = the pose failed."""
    figures: dict[str, Any] = field(default_factory=dict)


def solve(
    partial: Path, chosen: Scan, info: VideoInfo, prior: Prior, settings: CameraSettings, progress: Progress
) -> dict[str, Any]:
    """Leave the chosen candidate in work/cameras.npz; figures: method, why, all candidates' figures."""
    with progress.task("cameras", 1) as task:
        best = from_landmarks(chosen, info.size, prior, settings)
        task.advance()
    why = "only landmark poses were computed"
    if np.mean(best.confidence > 0) < 0.5:
        raise UnusableMaterial(
            "the head's pose failed in most frames; film the whole face in even light, with nobody else in view."
        )
    write_arrays(
        partial / "work" / "cameras.npz", camera_from_world=best.camera_from_world, points=best.points, error_px=best.error_px,
        confidence=best.confidence, focal_px=np.array(best.focal_px),
    )  # fmt: skip
    return {"method": best.method, "why": why, "candidates": [{"method": best.method} | best.figures]}


def load_cameras(partial: Path, figures: dict[str, Any]) -> Candidate:
    values = read_arrays(partial / "work" / "cameras.npz")
    return Candidate(method=figures["method"], focal_px=float(values.pop("focal_px")), **values)


def from_landmarks(chosen: Scan, frame_size: tuple[int, int], prior: Prior, settings: CameraSettings) -> Candidate:
    """Head poses of all frames with one focal length and the person's own rigid landmarks (pipelines.capture.bundle)."""
    longest, center = max(frame_size), np.array(frame_size) / 2
    focal = settings.focal_px or settings.focal_prior * longest
    model, seen = prior.landmarks[RIGID].astype(np.float64), np.ascontiguousarray(chosen.points[:, RIGID, :2], np.float64)
    start = np.stack([solve_pose(points, model, focal, (float(center[0]), float(center[1])))[0] for points in seen])
    low, high = (focal, focal * (1 + 1e-9)) if settings.focal_px else tuple(bound * longest for bound in settings.focal_range)
    known = BundlePrior(points=model, focal_px=focal, focal_range_px=(low, high))
    fitted = adjust(seen, visibility(start, model), start, center, known)
    confidence = _confidence(fitted, chosen.time_s, settings)
    figures = {
        "focal_px": fitted.focal_px, "median_error_px": float(np.median(fitted.error_px)),
        "registered": float(np.mean(confidence > 0)),
    }  # fmt: skip
    return Candidate(
        method="landmark_pose", camera_from_world=fitted.camera_from_head, focal_px=fitted.focal_px, points=fitted.points,
        error_px=fitted.error_px, confidence=confidence, figures=figures,
    )  # fmt: skip


def visibility(camera_from_head: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N,R] in 0.05..1: how much a landmark faces the camera, its normal taken from the head's axis through it."""
    normal = points * (1.0, 0.3, 1.0)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    eye = np.linalg.inv(camera_from_head)[:, :3, 3]
    facing = (eye / np.linalg.norm(eye, axis=1, keepdims=True)) @ normal.T
    return 0.05 + 0.95 / (1 + np.exp(-(facing - 0.1) / 0.12))


def view_angles(camera_from_head: np.ndarray) -> np.ndarray:
    """[N,2] degrees of yaw (positive where the camera stands at +x, the picture's right of the face) and pitch (above)."""
    x, y, z = np.linalg.inv(camera_from_head)[:, :3, 3].T
    return np.degrees(np.stack([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))], axis=1))


def _confidence(fitted: Bundle, time_s: np.ndarray, settings: CameraSettings) -> np.ndarray:
    """[N]: less for a large error beside the other frames and toward the profile, 0 for a pose its neighbors contradict."""
    usual = float(np.median(fitted.error_px))
    value = 1 / (1 + (fitted.error_px / (2 * usual)) ** 4)
    side = np.abs(view_angles(fitted.camera_from_head)[:, 0])
    value *= np.clip((80 - side) / 40, 0.1, 1)
    return np.where(jumps(fitted.camera_from_head, time_s) > settings.max_jump_deg, 0.0, value)


def jumps(camera_from_head: np.ndarray, time_s: np.ndarray, window_s: float = 0.3) -> np.ndarray:
    """[N] degrees between each rotation and the middle one of its neighbors; 0 with fewer than four of them."""
    result = np.zeros(len(time_s))
    rotation = camera_from_head[:, :3, :3]
    for row, time in enumerate(time_s):
        near = np.flatnonzero((np.abs(time_s - time) <= window_s) & (np.arange(len(time_s)) != row))
        if len(near) >= 4:
            apart = _angle(np.einsum("aij,bij->ab", rotation[near], rotation[near]))
            middle = near[np.argmin(apart.sum(1))]
            result[row] = _angle(np.sum(rotation[row] * rotation[middle]))
    return result


def _angle(trace: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
