"""Frames with given cameras: the `transforms.json` of the NeRF tools, taken as it is.

Notable choices: the cameras are not questioned, but pictures are: lens distortion, unequal focal lengths and off-center axes
are undone once, when a picture is read, so that all share one ideal camera. The head is found in them by intersecting the rays
of the tracker's points; where no face is seen (the back of the head), the points are those of the head that was found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.capture.cameras.candidate import Candidate
from pipelines.capture.footage.lens import undone
from pipelines.capture.frames.scan import FINDER_CODES, Scan, face_side
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, read_json, write_arrays
from pipelines.core.stage import Progress
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import RIGID, align_to_canonical, frontality
from pipelines.geometry.angles import turn_and_nod_deg
from pipelines.geometry.rigid import OPENGL_FROM_OPENCV, nearest_rotation
from pipelines.media import photos
from pipelines.media.video import fitted

RECORD = "transforms.json"
LENS = ("k1", "k2", "p1", "p2", "k3")
LEAST_FACES = 3
MOST_OFF = 0.1
"""Points further than this from where the head's are, over the face's size, are no face of this head."""
AGREED = 0.02
"""At this distance over the face's size a frame counts half when the head is placed."""
NO_FIT = 0.06
"""A median above this says that cameras and pictures do not belong together."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One picture with its camera, and the ideal camera it is brought to."""

    path: Path
    world_from_camera: np.ndarray
    """[4,4] OpenCV axes."""
    matrix: np.ndarray
    """[3,3] px of the stored picture (the center of its first pixel is 0.5)."""
    lens: np.ndarray
    """[5] k1, k2, p1, p2, k3 of OpenCV's model."""
    size: tuple[int, int]
    """Of the ideal picture."""
    focal_px: float

    def load(self) -> np.ndarray:
        """uint8 [H,W,3] as the ideal camera sees it."""
        return undone(photos.read(self.path, upright=False), self.matrix, self.lens, self.focal_px, self.size)

    def load_alpha(self) -> np.ndarray | None:
        """uint8 [H,W] of the same, where the picture has one."""
        alpha = photos.read_alpha(self.path, upright=False)
        return None if alpha is None else undone(alpha, self.matrix, self.lens, self.focal_px, self.size)


def record_of(path: Path) -> Path | None:
    """The record of a folder of frames with cameras, None where it is something else."""
    record = path / RECORD if path.is_dir() else path
    return record if record.suffix.lower() == ".json" and record.is_file() else None


def read(record: Path, longest_side_px: int) -> tuple[list[View], tuple[int, int], float]:
    """The views in the order of the record, the ideal picture's size and focal length (px).

    UnusableMaterial, naming the frame, for pictures that are not there, matrices that are no pose, intrinsics that are missing.
    """
    known = read_json(record)
    frames = known.get("frames") if isinstance(known, dict) else None
    if not isinstance(frames, list) or not frames:
        raise UnusableMaterial(f"{record} lists no frames; it must be a transforms.json as NeRF tools write it.")
    if "FISHEYE" in str(known.get("camera_model", "")).upper() or known.get("is_fisheye"):
        raise UnusableMaterial(f"{record} describes a fisheye lens; undistort the frames first and give pinhole cameras.")
    paths = [_image_of(record, frame, number) for number, frame in enumerate(frames)]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        few = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise UnusableMaterial(f"{record} lists pictures that do not exist: {few}; copy them or remove them from the list.")
    stored = [_size_of(path) for path in paths]
    matrices = [_matrix(known | frame, size, record) for frame, size in zip(frames, stored, strict=True)]
    full = (max(size[0] for size in stored), max(size[1] for size in stored))
    size = fitted(*full, longest_side_px)
    focal_px = float(np.median([matrix[0, 0] for matrix in matrices])) * size[0] / full[0]
    views = [
        View(
            path=path, world_from_camera=_pose(frame, path.name, record), matrix=matrix, size=size, focal_px=focal_px,
            lens=np.array([float((known | frame).get(name) or 0.0) for name in LENS]),
        )
        for path, frame, matrix in zip(paths, frames, matrices, strict=True)
    ]  # fmt: skip
    return views, size, focal_px


def solve(partial: Path, chosen: Scan, views: Sequence[View], size: tuple[int, int], progress: Progress) -> dict[str, Any]:
    """Leave the given cameras as a candidate in work/cameras.npz and the completed points in work/given.npz.

    UnusableMaterial when too few pictures show the face, or when its points do not meet: then these are not their cameras.
    """
    poses = np.linalg.inv(np.stack([views[int(index)].world_from_camera for index in chosen.index]))
    focal_px, side = views[0].focal_px, face_side(chosen.points)
    found = np.flatnonzero(side > 0)
    if len(found) < LEAST_FACES:
        raise UnusableMaterial(f"a face was found in only {len(found)} of the pictures; at least {LEAST_FACES} must show it.")
    with progress.task("given cameras", 2) as task:
        trust = np.array([_frontal(chosen.points[row], canonical_landmarks()) for row in found])
        head = _agreed(poses[found], chosen.points[found], focal_px, size, trust)
        task.advance()
        there = _projected(poses, head, focal_px, size)
        off = _off(there, chosen.points)
        usual = float(np.median((off / np.maximum(side, 1))[found][trust >= 0.3 * trust.max()]))
        if not usual < NO_FIT or not np.all(np.isfinite(head)):
            raise UnusableMaterial(
                f"the given cameras do not fit the pictures: the face's points disagree by {usual:.0%} of its size; "
                "transforms.json must hold camera-to-world matrices with x right, y up and z backward."
            )
        seen = (side > 0) & (off < MOST_OFF * side)
        points = np.where(seen[:, None, None], chosen.points, there).astype(np.float32)
        task.advance()
    write_arrays(partial / "work" / "given.npz", points=points, seen=seen)
    write_arrays(
        partial / "work" / "cameras.npz", camera_from_world=poses, points=head[RIGID], focal_px=np.array(focal_px),
        error_px=np.where(seen, off, np.median(off[seen])), confidence=np.ones(len(poses)),
    )  # fmt: skip
    figures = {
        "method": "given", "focal_px": round(focal_px, 2), "median_error_px": round(float(np.median(off[seen])), 3),
        "registered": 1.0, "faces_seen": int(seen.sum()), "problems": "",
    }  # fmt: skip
    why = f"Given cameras, taken as they are: the face is seen in {seen.sum()} of {len(seen)} pictures."
    return {"method": "given", "why": why, "candidates": [figures]}


def completed(partial: Path, chosen: Scan) -> Scan:
    """The scan with the points of the head where no face was seen; light and sharpness there are the usual ones."""
    known = read_arrays(partial / "work" / "given.npz")
    seen = known["seen"]
    finder = np.where(seen, chosen.finder, FINDER_CODES["none"]).astype(np.uint8)
    light, sharp = (np.where(seen, value, np.median(value[seen])) for value in (chosen.brightness, chosen.sharpness))
    return replace(chosen, points=known["points"], finder=finder, brightness=light, sharpness=sharp)


def load_candidate(partial: Path) -> Candidate:
    values: dict[str, Any] = read_arrays(partial / "work" / "cameras.npz")
    return Candidate(method="given", focal_px=float(values.pop("focal_px")), **values)


def _agreed(
    camera_from_world: np.ndarray,
    points: np.ndarray,
    focal_px: float,
    size: tuple[int, int],
    trust: np.ndarray,
    rounds: int = 6,
) -> np.ndarray:
    """[V,3] the points of the head on which most frames agree: one that sees a face where there is none loses its weight."""
    weight, side = trust, face_side(points)
    for _ in range(rounds):
        head = meeting_points(camera_from_world, points, focal_px, size, weight)
        off = _off(_projected(camera_from_world, head, focal_px, size), points) / side
        weight = trust / (1 + (off / max(AGREED, float(np.median(off)))) ** 4)
    return meeting_points(camera_from_world, points, focal_px, size, weight)


def _off(there: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N] median distance (px) of the rigid ones among [N,V,3] points."""
    return np.median(np.linalg.norm(there[..., :2] - points[..., :2], axis=-1)[:, RIGID], axis=1)


def meeting_points(
    camera_from_world: np.ndarray,
    points: np.ndarray,
    focal_px: float,
    size: tuple[int, int],
    trust: np.ndarray,
    rounds: int = 8,
) -> np.ndarray:
    """[V,3] where the rays of [N,V,2 or 3] points meet: the X of least sum w |(I - d d^T)(X - c)|^2, w reweighted.

    The weight is the frame's `trust` [N] times Huber's at 1.5 medians of the distances from the rays.
    """
    world_from_camera = np.linalg.inv(camera_from_world)
    ray = np.concatenate([(points[..., :2] - np.array(size) / 2) / focal_px, np.ones((*points.shape[:2], 1))], axis=2)
    ray = np.einsum("nij,nvj->nvi", world_from_camera[:, :3, :3], ray)
    ray /= np.linalg.norm(ray, axis=2, keepdims=True)
    eye = world_from_camera[:, :3, 3]
    across = np.eye(3) - ray[..., :, None] * ray[..., None, :]
    weight = np.repeat(np.asarray(trust, float)[:, None], points.shape[1], axis=1)
    for _ in range(rounds):
        left = np.einsum("nv,nvij->vij", weight, across)
        right = np.einsum("nv,nvij,nj->vi", weight, across, eye)
        place = np.linalg.solve(left + 1e-9 * np.eye(3) * np.trace(left, axis1=1, axis2=2)[:, None, None], right[..., None])[
            ..., 0
        ]
        off = np.linalg.norm(np.einsum("nvij,nvj->nvi", across, place[None] - eye[:, None]), axis=2)
        weight = trust[:, None] * np.minimum(1.0, 1.5 * np.median(off, axis=0) / np.maximum(off, 1e-12))
    return place


def _projected(camera_from_world: np.ndarray, head: np.ndarray, focal_px: float, size: tuple[int, int]) -> np.ndarray:
    """[N,V,3] px as the tracker gives them: z in the same unit, smaller is nearer."""
    inside = np.einsum("nij,vj->nvi", camera_from_world[:, :3, :3], head) + camera_from_world[:, None, :3, 3]
    depth = np.maximum(inside[..., 2:], 1e-6)
    usual = depth.mean(axis=1, keepdims=True)
    px = focal_px * inside[..., :2] / depth + np.array(size) / 2
    return np.concatenate([px, focal_px * (depth - usual) / usual], axis=2)


def _frontal(points: np.ndarray, canonical: np.ndarray) -> float:
    """0..1, how frontal a view is, as the tracker's points say."""
    return float(frontality(turn_and_nod_deg(align_to_canonical(points, canonical)[1])[0]))


def _image_of(record: Path, frame: Any, number: int) -> Path:
    """The picture's file; the NeRF tools may leave out its ending."""
    name = frame.get("file_path") if isinstance(frame, dict) else None
    if not isinstance(name, str) or not name:
        raise UnusableMaterial(f"frame {number} of {record} has no file_path.")
    path = record.parent / name
    endings = [path, *(path.with_name(path.name + suffix) for suffix in photos.SUFFIXES)]
    return next((one for one in endings if one.is_file()), path)


def _size_of(path: Path) -> tuple[int, int]:
    with photos.stored(path) as image:
        return image.size


def _matrix(known: dict[str, Any], size: tuple[int, int], record: Path) -> np.ndarray:
    """[3,3] px of the stored picture, which may be smaller than the one the record speaks of."""
    width, height = float(known.get("w") or size[0]), float(known.get("h") or size[1])
    try:
        fx = float(known["fl_x"]) if "fl_x" in known else width / 2 / np.tan(float(known["camera_angle_x"]) / 2)
        if "fl_y" in known:
            fy = float(known["fl_y"])
        else:
            fy = height / 2 / np.tan(float(known["camera_angle_y"]) / 2) if "camera_angle_y" in known else fx
        cx, cy = float(known.get("cx", width / 2)), float(known.get("cy", height / 2))
    except (KeyError, TypeError, ValueError) as error:
        raise UnusableMaterial(
            f"{record} gives no focal length (fl_x, or camera_angle_x), at the top or in each frame."
        ) from error
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise UnusableMaterial(f"{record} gives a focal length of {fx:g} x {fy:g} px, which no camera has.")
    x, y = size[0] / width, size[1] / height
    return np.array([[fx * x, 0, cx * x], [0, fy * y, cy * y], [0, 0, 1]])


def _pose(frame: dict[str, Any], name: str, record: Path) -> np.ndarray:
    """World from camera with OpenCV axes; a common scale is taken out of the rotation."""
    try:
        matrix = np.array(frame.get("transform_matrix"), np.float64)
    except (TypeError, ValueError):
        matrix = np.zeros(0)
    pose = np.vstack([matrix, [0, 0, 0, 1]]) if matrix.shape == (3, 4) else matrix
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise UnusableMaterial(f"the transform_matrix of {name} in {record} is not a 4x4 matrix of numbers.")
    size = np.cbrt(np.linalg.det(pose[:3, :3]))
    if abs(size) < 1e-9:
        raise UnusableMaterial(f"the transform_matrix of {name} in {record} cannot be inverted; it is not a camera pose.")
    turn = pose[:3, :3] / size
    if size < 0 or np.abs(turn @ turn.T - np.eye(3)).max() > 0.02:
        raise UnusableMaterial(f"the transform_matrix of {name} in {record} mirrors or shears; it is not a camera pose.")
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = nearest_rotation(turn), pose[:3, 3]
    return result @ OPENGL_FROM_OPENCV
