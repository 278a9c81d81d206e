"""Cameras from COLMAP (Schoenberger and Frahm 2016), and the tests that tell a right model from a confident wrong one.

A model can register every view at 0.3 px and still be inside out, or be of the room while the head turns. So it must agree with
the head: the optical axes meet in front of the cameras, rigid landmarks triangulate in front of them, turns go the same way as
those of the landmark poses, and points followed on the head fit as well as they do there.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import pipelines
from pipelines.capture.alignment import Alignment, AlignmentSettings, align
from pipelines.capture.bundle import Bundle, Priors
from pipelines.capture.frames import Scan, frame_name
from pipelines.capture.headpose import LANDMARK_SIGMA, Support, candidate, reliability, rigid_px, with_surface
from pipelines.capture.mattes import region
from pipelines.capture.poses import CameraSettings, Candidate, angle_deg
from pipelines.capture.tracks import Tracks
from pipelines.files import read_image, read_json, write_image, write_json

LEAST_SHARE = 0.7
"""Of the views that must be registered in one model."""
MAX_REPROJECTION = 0.0025
"""Mean reprojection error over the longer side of the picture: 1.6 px of 640."""
LEAST_POINTS = 10
"""Per registered view."""
MAX_DISAGREEMENT_DEG = 8.0
"""Median angle to the landmark poses after one common turn."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """The largest model of a run."""

    rows: np.ndarray
    """[K] rows of the capture's frames that are registered."""
    camera_from_world: np.ndarray
    """[K,4,4]."""
    focal_px: float
    points: int
    error_px: float
    """Mean reprojection error in pixels of the footage."""
    views: int
    """Views that were given."""


class Failed(Exception):
    """COLMAP gave no usable model; the text says why, for the record."""


def reconstruct(
    partial: Path, chosen: Scan, frame_size: tuple[int, int], focal_px: float, settings: CameraSettings, seed: int, masked: bool
) -> Model:
    """Run COLMAP on evenly spread views (of the head alone when `masked`); raises Failed. Its words go to colmap.log."""
    folder = partial / "work" / ("sfm_head" if masked else "sfm_scene")
    rows = np.unique(np.linspace(0, len(chosen.index) - 1, settings.sfm_views).round().astype(int))
    if not (folder / "result.json").exists():
        scale = _write_views(partial, folder, chosen.rows(rows), frame_size, settings, masked)
        job = {
            "names": [f"{frame_name(index)}.jpg" for index in chosen.index[rows]], "masks": masked, "scale": scale,
            "first_octave": -1 if masked else 0,
            "focal_px": focal_px * scale, "focal_known": settings.focal_px is not None, "features": 4096, "threads": 2,
            "width": round(frame_size[0] * scale), "height": round(frame_size[1] * scale), "overlap": settings.sfm_overlap,
            "seed": seed, "timeout_s": settings.sfm_timeout_s,
        }  # fmt: skip
        write_json(folder / "job.json", job)
        _run(folder / "job.json", partial / "colmap.log", settings.sfm_timeout_s)
    return _largest(folder, chosen, rows)


def from_model(
    model: Model, reference: Candidate, chosen: Scan, frame_size: tuple[int, int], prior: np.ndarray, tracks: Tracks,
    settings: CameraSettings, method: str,
) -> Candidate:  # fmt: skip
    """Cameras of all frames in the model's world, with what speaks against them.

    Frames that are no views of the model get the pose that landmarks, triangulated with the model's cameras, and points
    followed on the head give them between the model's own, which stay as they are.
    """
    center, seen = np.array(frame_size) / 2, rigid_px(chosen)
    points = triangulate(model, seen, reliability(reference.camera_from_world, reference.points)[model.rows], center)
    problems = _problems(model, points, reference, max(frame_size), settings)
    figures: dict[str, Any] = {
        "registered_views": f"{len(model.rows)} of {model.views}", "focal_px": round(model.focal_px, 2),
        "reprojection_px": round(model.error_px, 3), "points": model.points,
        "disagreement_deg": round(disagreement_deg(model, reference), 2),
    }  # fmt: skip
    if problems:
        empty = np.zeros(len(chosen.index))
        return replace(reference, method=method, figures=figures, problems=tuple(problems), confidence=empty)
    to_head = align(points, prior, AlignmentSettings(max_rms_units=0.1))
    fitted, support = _completed(model, to_head, reference, seen, tracks, center, points)
    found = candidate(method, fitted, chosen, center, support, settings)
    fitted_points = to_head.inverse_points(fitted.points)
    return replace(
        found, camera_from_world=to_head.camera_from_world(found.camera_from_world), points=fitted_points,
        figures={**figures, **found.figures},
    )  # fmt: skip


def _completed(
    model: Model,
    to_head: Alignment,
    reference: Candidate,
    seen: np.ndarray,
    tracks: Tracks,
    center: np.ndarray,
    points: np.ndarray,
) -> tuple[Bundle, Support | None]:
    """The bundle of all frames in which the model's cameras are held."""
    held = np.zeros(len(seen), bool)
    held[model.rows] = True
    poses = _between(to_head.camera_from_head(model.camera_from_world), model.rows, reference.camera_from_world)
    start = to_head.points(points)
    rough = Bundle(camera_from_head=poses, points=start, focal_px=model.focal_px, residual_px=np.zeros(0))
    known = Priors(
        points=start, points_sigma=np.full(len(start), LANDMARK_SIGMA), focal_px=model.focal_px,
        focal_range_px=(model.focal_px, model.focal_px * (1 + 1e-9)), held=held,
    )  # fmt: skip
    return with_surface(rough, seen, tracks, center, known) if len(tracks.frame) else (rough, None)


def _between(known: np.ndarray, rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """[N,4,4] the reference's poses, corrected by what the known ones (at `rows`) say, interpolated between them."""
    from scipy.spatial.transform import Rotation

    every = np.arange(len(reference))
    turn = Rotation.from_matrix(known[:, :3, :3] @ reference[rows, :3, :3].transpose(0, 2, 1)).as_rotvec()
    shift = np.log(known[:, 2, 3] / reference[rows, 2, 3])
    moved = known[:, :2, 3] / known[:, 2:3, 3] - reference[rows, :2, 3] / reference[rows, 2:3, 3]
    result = reference.copy()
    at = np.column_stack([np.interp(every, rows, column) for column in np.column_stack([turn, shift, moved]).T])
    result[:, :3, :3] = Rotation.from_rotvec(at[:, :3]).as_matrix() @ reference[:, :3, :3]
    depth = reference[:, 2, 3] * np.exp(at[:, 3])
    result[:, :2, 3] = (reference[:, :2, 3] / reference[:, 2:3, 3] + at[:, 4:]) * depth[:, None]
    result[:, 2, 3] = depth
    result[rows] = known
    return result


def triangulate(model: Model, seen: np.ndarray, weight: np.ndarray, center: np.ndarray) -> np.ndarray:
    """[R,3] the rigid landmarks in the model's world: weighted linear least squares, repeated with Huber weights.

    `seen` [N,R,2] px of all frames, `weight` [K,R] of the model's views.
    """
    rays = (seen[model.rows] - center) / model.focal_px
    turn, shift = model.camera_from_world[:, :3, :3], model.camera_from_world[:, :3, 3]
    rows = rays[..., None] * turn[:, None, 2:] - turn[:, None, :2]
    right = shift[:, None, :2] - rays * shift[:, None, 2:]
    points = np.zeros((seen.shape[1], 3))
    trust = weight
    for _ in range(6):
        normal = np.einsum("kraj,kr,kram->rjm", rows, trust, rows)
        points = np.linalg.solve(normal + 1e-12 * np.eye(3), np.einsum("kraj,kr,kra->rj", rows, trust, right)[..., None])[
            ..., 0
        ]
        inside = np.einsum("kij,rj->kri", turn, points) + shift[:, None]
        off = np.linalg.norm(inside[..., :2] / np.where(inside[..., 2:] == 0, 1e-9, inside[..., 2:]) - rays, axis=-1)
        usual = float(np.median(off[weight > 0.2])) if np.any(weight > 0.2) else float(np.median(off))
        trust = weight * np.minimum(1, 2 * usual / np.maximum(off, 1e-12)) / np.maximum(np.abs(inside[..., 2]), 1e-9) ** 2
        trust /= trust.max()
    return points


def disagreement_deg(model: Model, reference: Candidate) -> float:
    """Median angle between the turns of the model and of the landmark poses after the best common turn."""
    from scipy.spatial.transform import Rotation

    theirs, ours = model.camera_from_world[:, :3, :3], reference.camera_from_world[model.rows, :3, :3]
    weight = np.ones(len(theirs))
    off = weight
    for _ in range(10):
        common = Rotation.from_matrix(theirs.transpose(0, 2, 1) @ ours).mean(weights=weight).as_matrix()
        off = angle_deg(theirs @ common, ours)
        weight = 1 / np.maximum(off, 1.0)
    return float(np.median(off))


def look_at(camera_from_world: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The point nearest to all optical axes, the share of cameras it lies in front of, and the spread of the axes (degrees)."""
    axis = camera_from_world[:, 2, :3]
    eye = np.linalg.inv(camera_from_world)[:, :3, 3]
    across = np.eye(3) - axis[:, :, None] * axis[:, None, :]
    normal = across.sum(0)
    point = np.linalg.solve(normal + 1e-9 * np.eye(3), np.einsum("kij,kj->i", across, eye))
    ahead = np.sum((point - eye) * axis, axis=1) > 0
    spread = np.degrees(np.arcsin(np.sqrt(max(float(np.linalg.eigvalsh(normal)[0]) / len(axis), 0.0))))
    return point, float(ahead.mean()), float(spread)


def _problems(model: Model, points: np.ndarray, reference: Candidate, longest: int, settings: CameraSettings) -> list[str]:
    """What the tests say against a model, as parts of a sentence."""
    _, ahead, spread = look_at(model.camera_from_world)
    depth = points @ model.camera_from_world[:, 2, :3].T + model.camera_from_world[:, 2, 3]
    share, off = len(model.rows) / model.views, disagreement_deg(model, reference)
    low, high = (bound * longest for bound in settings.focal_range)
    tests = [
        (share < LEAST_SHARE, f"only {len(model.rows)} of {model.views} views are registered"),
        (model.error_px > MAX_REPROJECTION * longest, f"its points are off by {model.error_px:.1f} px"),
        (model.points < LEAST_POINTS * len(model.rows), f"it has only {model.points} points"),
        (not 0.85 * low <= model.focal_px <= 1.15 * high, f"its focal length of {model.focal_px:.0f} px is impossible"),
        (spread > 4.0 and ahead < 0.9, "its optical axes meet behind the cameras: the model is inside out"),
        (float(np.mean(depth > 0)) < 0.95, "the face lies behind its cameras"),
        (off > MAX_DISAGREEMENT_DEG, f"its turns differ from the head's by {off:.0f} degrees"),
    ]
    return [text for wrong, text in tests if wrong]


def _write_views(
    partial: Path, folder: Path, views: Scan, frame_size: tuple[int, int], settings: CameraSettings, masked: bool
) -> float:
    """images/ and, for the head alone, masks/ in COLMAP's layout; returns their scale to the footage."""
    import cv2

    scale = min(1.0, settings.sfm_longest_side_px / max(frame_size))
    size = (round(frame_size[0] * scale), round(frame_size[1] * scale))
    for index, points in zip(views.index, views.points, strict=True):
        name = frame_name(index)
        image = read_image(partial / "frames" / f"{name}.jpg")
        write_image(folder / "images" / f"{name}.jpg", cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        if masked:
            matte = read_image(partial / "work" / "mattes" / f"{name}.png")
            write_image(folder / "masks" / f"{name}.jpg.png", _head_mask(matte, points, scale, size))
    return scale


def _head_mask(matte: np.ndarray, points: np.ndarray, scale: float, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H,W], 0 = ignore: what of the frame is surely head and does not move with the expression."""
    import cv2

    from pipelines.capture.tracks import rigid_mask

    x0, y0, side = region(points)
    matrix = np.array([[side / matte.shape[1], 0, x0], [0, side / matte.shape[0], y0]]) * scale
    return cv2.warpAffine(255 * rigid_mask(matte, points, (x0, y0, side)), matrix, size, flags=cv2.INTER_NEAREST)


def _run(job: Path, log: Path, timeout_s: float) -> None:
    """The child process; Failed when it breaks or takes too long."""
    home = str(Path(pipelines.__file__).resolve().parents[1])
    paths = os.pathsep.join(path for path in (home, os.environ.get("PYTHONPATH", "")) if path)
    command = [sys.executable, "-m", "pipelines.capture.sfm", str(job.resolve())]
    with log.open("ab") as words:
        try:
            done = subprocess.run(
                command, stdout=words, stderr=words, stdin=subprocess.DEVNULL, timeout=timeout_s + 20,
                env={**os.environ, "PYTHONPATH": paths},
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise Failed(f"COLMAP took longer than {timeout_s:.0f} s") from error
    if done.returncode:
        raise Failed(f"COLMAP ended with code {done.returncode}, see colmap.log")


def _largest(folder: Path, chosen: Scan, rows: np.ndarray) -> Model:
    result, scale = read_json(folder / "result.json"), read_json(folder / "job.json")["scale"]
    if not result["models"] or len(result["models"][0]["images"]) < 8:
        raise Failed(f"COLMAP found no model that joins eight of the {len(rows)} views")
    best = result["models"][0]
    row_of = {f"{frame_name(int(chosen.index[row]))}.jpg": int(row) for row in rows}
    found = sorted((row_of[name], pose) for name, pose in best["images"].items())
    poses = np.tile(np.eye(4), (len(found), 1, 1))
    poses[:, :3] = np.array([pose for _, pose in found])
    return Model(
        rows=np.array([row for row, _ in found]), camera_from_world=poses, focal_px=best["focal_px"] / scale,
        points=best["points"], error_px=best["error_px"] / scale, views=len(rows),
    )  # fmt: skip
