"""What a COLMAP model is worth, and the cameras of all frames that follow from it.

A model can register every view at 0.3 px and still be inside out, or be of the room while the head turns. So it must agree with
the head: the optical axes meet in front of the cameras, rigid landmarks triangulate in front of them, turns go the same way as
those of the landmark poses, and points followed on the head fit as well as they do there.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pipelines.capture.cameras.bundle_adjustment import Bundle, Priors
from pipelines.capture.cameras.candidate import CameraSettings, Candidate, Question, jump_deg
from pipelines.capture.cameras.landmark_cameras import (
    LANDMARK_SIGMA_M,
    Support,
    landmark_error,
    reliability,
    rigid_px,
    with_surface,
)
from pipelines.capture.cameras.resection import Seen, register
from pipelines.capture.cameras.surface_tracks import Tracks
from pipelines.capture.dataset.alignment import Alignment, AlignmentSettings, align
from pipelines.capture.footage.lens import Lens
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import RIGID
from pipelines.geometry.angles import rotation_angle_deg

LEAST_SHARE = 0.7
"""Of the views that must be registered in one model."""
MAX_REPROJECTION = 0.0025
"""Mean reprojection error over the longer side of the picture: 1.6 px of 640."""
LEAST_POINTS = 10
"""Per registered view."""
MAX_DISAGREEMENT_DEG = 8.0
"""Median angle to the landmark poses after one common turn."""
HEAD_M = 0.192
"""Points nearer to the head's center than this are of the head."""
LOOSE_RMS_M = 0.032
"""Of the landmarks that a model shows, to the mean head's: what is further off is no head."""
FACELESS_TRUST = 0.7
"""Of a frame whose pose only the model knows."""
LEAST_EXPLAINED = 0.45
"""Of the matches between views."""
LEAST_SIGHTINGS = 12
"""Points that must fit a pose."""
SURE = 40
"""With as many a pose is trusted whole."""


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
    seen: Seen = field(default_factory=Seen.nothing)
    """Its points in its views, in pixels without the lens."""
    k1: float = 0.0
    """Radial distortion of the lens (`pipelines.capture.footage.lens`)."""
    explained: float = 1.0
    """Share of the verified matches that are one point of the model, in the view at the lower quartile: 0.5 to 0.95 for right
    models, 0.02 to 0.3 for some that fit their own points well."""
    faceless: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    """Of the frames without a face that joined, by their number: pose [4,4], and the points [M,3] they see."""


def from_model(asked: Question, model: Model, tracks: Tracks) -> Candidate:
    """Cameras of all frames in the model's world, with what speaks against them.

    Frames that are no views of the model are registered against its points (`resection.register`).
    """
    lens, reference, method = Lens(k1=model.k1, focal_px=model.focal_px, size=asked.frame_size), asked.reference, asked.method
    chosen, tracks = lens.points(asked.chosen), replace(tracks, px=lens.undistort(tracks.px))
    center, seen = np.array(asked.frame_size) / 2, rigid_px(chosen)
    points = triangulate(model, seen, reliability(reference.camera_from_world, reference.points)[model.rows], center)
    problems = _problems(model, points, reference, max(asked.frame_size), asked.settings)
    figures: dict[str, Any] = {
        "registered_views": f"{len(model.rows)} of {model.views}", "focal_px": round(model.focal_px, 2),
        "reprojection_px": round(model.error_px, 3), "points": model.points,
        "disagreement_deg": round(disagreement_deg(model, reference), 2), "face_points": face_points(model, seen),
        "explained": round(model.explained, 3), "k1": round(model.k1, 5),
    }  # fmt: skip
    if problems:
        empty = np.zeros(len(chosen.index))
        return replace(reference, method=method, figures=figures, problems=tuple(problems), confidence=empty)
    to_head = align(points, canonical_landmarks()[RIGID], AlignmentSettings(max_rms_m=LOOSE_RMS_M))
    expected = _interpolate(to_head.camera_from_head(model.camera_from_world), model.rows, reference.camera_from_world)
    every = register(asked.partial, chosen, model.seen, model.rows, to_head.camera_from_world(expected), lens)
    poses = to_head.camera_from_head(every.camera_from_world)
    fitted, support = _held(poses, to_head.points(points), model.focal_px, seen, tracks, center)
    if support is not None:
        figures |= {"surface_points": float(np.median(support.count)), "surface_error_px": round(support.error_px, 3)}
    error = landmark_error(poses, fitted.points, model.focal_px, seen, center)
    confidence = trusted(poses, every.count, error, chosen.time_s, asked.settings)
    figures |= {"median_error_px": round(float(np.median(error)), 3), "registered": round(float(np.mean(confidence > 0)), 4)}
    return Candidate(
        method=method, camera_from_world=every.camera_from_world, focal_px=model.focal_px, k1=model.k1,
        points=to_head.inverse_points(fitted.points), error_px=error, confidence=confidence, figures=figures,
        **_without_face(model, to_head),
    )  # fmt: skip


def _without_face(model: Model, to_head: Alignment) -> dict[str, Any]:
    """Number, pose and confidence of the frames without a face that join the model and see points of the head."""
    kept: list[tuple[int, np.ndarray, float]] = []
    for index, (pose, points) in sorted(model.faceless.items()):
        of_head = int(np.sum(np.linalg.norm(to_head.points(points), axis=1) < HEAD_M))
        if of_head >= LEAST_SIGHTINGS:
            kept.append((index, pose, FACELESS_TRUST * min(1.0, of_head / SURE)))
    return {
        "faceless": np.array([index for index, _, _ in kept], int),
        "faceless_from_world": np.array([pose for _, pose, _ in kept]).reshape(-1, 4, 4),
        "faceless_confidence": np.array([confidence for _, _, confidence in kept]),
    }


def face_points(model: Model, seen: np.ndarray) -> float:
    """Points of the model within the outline of the rigid landmarks `seen` [N,R,2], in the median view.

    About none where the head moved against what the model is of.
    """
    import cv2

    counts = []
    for row in model.rows:
        outline = cv2.convexHull(seen[row].astype(np.float32))
        px = model.seen.px[model.seen.row == row].astype(np.float32)
        counts.append(sum(cv2.pointPolygonTest(outline, (float(x), float(y)), False) > 0 for x, y in px))
    return float(np.median(counts))


def trusted(
    camera_from_head: np.ndarray, count: np.ndarray, error_px: np.ndarray, time_s: np.ndarray, settings: CameraSettings
) -> np.ndarray:
    """[N] confidence from the points that fit each pose; 0 where hardly any does and where the pose leaves the way it is on.

    A frame whose landmarks lie four times further off than usual counts little, but a good model may contradict the tracker;
    against its neighbors and the tracker together no number of points helps.
    """
    strange = error_px / (4 * np.median(error_px))
    confidence = np.clip(count / SURE, 0, 1) / (1 + strange**4)
    failed = (jump_deg(camera_from_head, time_s) > settings.max_jump_deg) & ((count < SURE) | (strange > 1))
    return np.where(failed | (count < LEAST_SIGHTINGS) | (camera_from_head[:, 2, 3] <= 0), 0.0, np.maximum(confidence, 0.05))


def _held(
    poses: np.ndarray, points: np.ndarray, focal_px: float, seen: np.ndarray, tracks: Tracks, center: np.ndarray
) -> tuple[Bundle, Support | None]:
    """How points followed on the head fit the poses as they are."""
    rough = Bundle(camera_from_head=poses, points=points, focal_px=focal_px, residual_px=np.zeros(0))
    known = Priors(
        points=points, points_sigma=np.full(len(points), LANDMARK_SIGMA_M), focal_px=focal_px,
        focal_range_px=(focal_px, focal_px * (1 + 1e-9)), held=np.ones(len(poses), bool),
    )  # fmt: skip
    return with_surface(rough, seen, tracks, center, known) if len(tracks.frame) else (rough, None)


def _interpolate(known: np.ndarray, rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
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
        off = rotation_angle_deg(theirs @ common, ours)
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
        (model.explained < LEAST_EXPLAINED, f"its points bear out only {model.explained:.0%} of the matches"),
        (float(np.mean(depth > 0)) < 0.95, "the face lies behind its cameras"),
        (off > MAX_DISAGREEMENT_DEG, f"its turns differ from the head's by {off:.0f} degrees"),
    ]
    return [text for wrong, text in tests if wrong]
