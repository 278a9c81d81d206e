"""What every way of finding cameras shares: a candidate, its settings, and the geometry to compare candidates by."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.capture.frames.scan import Scan, frame_name, positive
from pipelines.geometry.angles import yaw_pitch_deg

STEADY_S = 0.3
"""Half the time over which poses from landmarks are steadied: nine frames of the usual fifteen a second. Against known poses
the error's step from frame to frame is 0.117 degrees before, 0.093 after with 0.17 s, 0.073 with 0.3, hardly less beyond."""
TREMBLE_DEG = 0.6
"""What can be the tracker's tremble and no motion of the head."""


@dataclass(frozen=True, kw_only=True)
class CameraSettings:
    method: Literal["auto", "landmarks", "colmap"] = "auto"
    """How cameras are found: the better of both ways, from the face's landmarks alone, or by COLMAP alone."""
    focal_px: float | None = None
    """Focal length in pixels of the footage; estimated when not given."""
    focal_prior: float = 1.2
    """Usual focal length of a phone over the longer side of its picture."""
    focal_range: tuple[float, float] = (0.7, 1.8)
    """What a focal length over the longer side can be."""
    follow_surface: bool = True
    """Refine landmark poses with points followed on hair, ears and skin."""
    sfm_views: int = 60
    """Frames COLMAP gets at most."""
    sfm_longest_side_px: int = 960
    """Larger frames are scaled down for COLMAP."""
    sfm_matching: Literal["sequential", "exhaustive"] = "sequential"
    """Which views are matched: neighbors in time and views from near directions, or all with all."""
    sfm_overlap: int = 5
    """Neighbors each view is matched with, others at distances of powers of two, and as many again from near directions."""
    sfm_timeout_s: float = 300.0
    """Computing time of COLMAP (CPU seconds): for features, for matches, and for a model from the landmark poses."""
    find_lens: bool = True
    """Look for radial distortion where the camera moves, and undo it once."""
    max_jump_deg: float = 4.0
    """A pose further than this from the way between its neighbors is dropped, unless landmarks and followed points fit it."""

    def __post_init__(self) -> None:
        positive(self, "sfm_views", "sfm_longest_side_px", "sfm_overlap", "sfm_timeout_s")


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
    k1: float = 0.0
    """Radial distortion of the lens, still in the frames (`pipelines.capture.footage.lens`); poses and points lack it."""
    figures: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    """What speaks against it; empty for cameras that passed every test."""
    faceless: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    """[K] numbers of frames that show no face (the back of the head) and have a pose none the less."""
    faceless_from_world: np.ndarray = field(default_factory=lambda: np.zeros((0, 4, 4)))
    faceless_confidence: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, kw_only=True)
class Question:
    """What COLMAP is asked: cameras of evenly spread views of these frames."""

    kind: Literal["scene", "head"]
    """Whole pictures, or the head alone."""
    partial: Path
    chosen: Scan
    frame_size: tuple[int, int]
    reference: Candidate
    """The landmark poses: where a model can start, and what it is judged by."""
    settings: CameraSettings
    seed: int
    faceless: tuple[int, ...] = ()
    """Numbers of frames without a face, which join a model of the scene where they can."""
    deadline: float = math.inf
    """When COLMAP has to be done, on the clock `time.monotonic`."""

    @property
    def method(self) -> str:
        """Name of the cameras that come of it."""
        return f"colmap_{self.kind}"

    @property
    def folder(self) -> Path:
        return self.partial / "work" / f"sfm_{self.kind}"

    @property
    def rows(self) -> np.ndarray:
        """Of the frames that are views."""
        return np.unique(np.linspace(0, len(self.chosen.index) - 1, self.settings.sfm_views).round().astype(int))

    @property
    def extra(self) -> list[str]:
        """Names of the frames without a face."""
        return [frame_name(index) for index in self.faceless] if self.kind == "scene" else []


def view_angles(camera_from_head: np.ndarray) -> np.ndarray:
    """[N,2] degrees of yaw (positive where the camera stands at +x, the picture's right of the face) and pitch (above)."""
    return yaw_pitch_deg(np.linalg.inv(camera_from_head)[:, :3, 3])


def jump_deg(camera_from_head: np.ndarray, time_s: np.ndarray, gap_s: float = 0.5) -> np.ndarray:
    """[N] degrees between a pose and the way from its neighbor before to the one after, where that is no part of a fast motion.

    0 at the ends, beside gaps longer than `gap_s`, and where the deviation is less than four times that of the frames around.
    """
    from scipy.spatial.transform import Rotation, Slerp

    rotation, off = Rotation.from_matrix(camera_from_head[:, :3, :3]), np.zeros(len(time_s))
    for row in range(1, len(time_s) - 1):
        before, time, after = time_s[row - 1 : row + 2]
        if max(time - before, after - time) <= gap_s:
            middle = Slerp([before, after], rotation[row - 1 : row + 2 : 2])(time)
            off[row] = np.degrees((middle.inv() * rotation[row]).magnitude())
    usual = np.array([np.median(off[np.abs(time_s - time) <= 1.0]) for time in time_s])
    return np.where(off > 4 * usual, off, 0.0)


def steadied(camera_from_head: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """[N,4,4] without the tracker's tremble and without lag.

    Every pose is drawn to the parabola through the poses within `STEADY_S` before and after it (least squares, as Savitzky and
    Golay 1964), by exp(-(d / TREMBLE_DEG)^2) of the way where the parabola is d degrees off: a nod or a shake, which no
    parabola follows, is kept as it is. Poses with fewer than two others on one side stay.
    """
    from scipy.spatial.transform import Rotation

    turn, result = Rotation.from_matrix(camera_from_head[:, :3, :3]), camera_from_head.copy()
    for row, time in enumerate(time_s):
        near = np.flatnonzero(np.abs(time_s - time) <= STEADY_S + 1e-6)
        side = min(int(np.sum(near < row)), int(np.sum(near > row)))
        if side < 2:
            continue
        at = time_s[near] - time
        change = (Rotation.from_matrix(camera_from_head[near, :3, :3]) * turn[row].inv()).as_rotvec()
        values = np.column_stack([change, camera_from_head[near, :3, 3] - camera_from_head[row, :3, 3]])
        middle = np.linalg.lstsq(np.vander(at, 3, increasing=True), values, rcond=None)[0][0]
        share = np.exp(-((np.degrees(np.linalg.norm(middle[:3])) / TREMBLE_DEG) ** 2))
        result[row, :3, :3] = (Rotation.from_rotvec(share * middle[:3]) * turn[row]).as_matrix()
        result[row, :3, 3] += share * middle[3:]
    return result
