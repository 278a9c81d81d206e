"""Cameras from the head itself: the tracker's rigid landmarks, sharpened by points followed on hair, ears and skin."""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.capture.cameras.bundle_adjustment import Bundle, Priors, Sightings, adjust
from pipelines.capture.cameras.candidate import CameraSettings, Candidate, jump_deg, steadied, view_angles
from pipelines.capture.cameras.surface_tracks import Tracks
from pipelines.capture.frames.scan import Scan
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import RIGID, frontality, solve_pose

LANDMARK_TRUST = 3.0
"""Weight of a frontal landmark beside a followed point: landmarks hold the head in place, followed points would drift."""
LANDMARK_SIGMA_M = 0.00048
"""How firmly a person's landmark is tied to the mean head's. Faces differ by 3 mm, but a landmark is off by the same way in
all frames, which the sum over frames takes for independent; looser ties let faces flatten when the head turns little."""
SURFACE_SIGMA_M = 0.192
"""How wrong the first guess of a followed point's place may be."""
SKULL_M = np.array([0.08, 0.128, 0.0992])
"""Half axes of the ellipsoid on which followed points start, around the origin."""
ENOUGH = 40
"""Followed points that fit, for a pose to be trusted where landmarks are not."""


@dataclass(frozen=True, kw_only=True)
class Support:
    """What the followed points say of the poses."""

    count: np.ndarray
    """[N] how many fit in each frame."""
    error_px: float
    """Median distance of a sighting from its point's projection."""


def from_landmarks(chosen: Scan, frame_size: tuple[int, int], settings: CameraSettings, tracks: Tracks) -> Candidate:
    """Poses of all frames with one focal length and the person's own landmarks, in the metric head frame already."""
    longest, center = max(frame_size), np.array(frame_size) / 2
    focal = settings.focal_px or settings.focal_prior * longest
    low, high = (focal, focal * (1 + 1e-9)) if settings.focal_px else tuple(bound * longest for bound in settings.focal_range)
    model, seen = canonical_landmarks()[RIGID], rigid_px(chosen)
    start = np.stack([solve_pose(points, model, focal, (float(center[0]), float(center[1])))[0] for points in seen])
    known = Priors(points=model, points_sigma=np.full(len(model), LANDMARK_SIGMA_M), focal_px=focal, focal_range_px=(low, high))
    rough = adjust(landmark_sightings(seen, start, model), start, center, known)
    fitted, support = (with_surface(rough, seen, tracks, center, known)) if len(tracks.frame) else (rough, None)
    steady = replace(fitted, camera_from_head=steadied(fitted.camera_from_head, chosen.time_s))
    return candidate("landmark_pose", steady, chosen, center, support, settings)


def rigid_px(chosen: Scan) -> np.ndarray:
    """[N,R,2] the rigid landmarks of all frames."""
    return np.ascontiguousarray(chosen.points[:, RIGID, :2], np.float64)


def landmark_sightings(seen: np.ndarray, poses: np.ndarray, model: np.ndarray) -> Sightings:
    """All [N,R,2] landmarks, trusted by how much they face the camera and how frontal the view is."""
    frames, count = seen.shape[:2]
    return Sightings(
        frame=np.repeat(np.arange(frames), count), point=np.tile(np.arange(count), frames), px=seen.reshape(-1, 2),
        weight=(LANDMARK_TRUST * reliability(poses, model)).ravel(), group=np.zeros(frames * count, int),
    )  # fmt: skip


def with_surface(rough: Bundle, seen: np.ndarray, tracks: Tracks, center: np.ndarray, known: Priors) -> tuple[Bundle, Support]:
    """The bundle with followed points added, from the poses found so far, and how these points fit."""
    count = len(known.points)
    places = surface_points(rough.camera_from_head, rough.focal_px, tracks, center)
    landmarks = landmark_sightings(seen, rough.camera_from_head, rough.points[:count])
    both = Sightings(
        frame=np.concatenate([landmarks.frame, tracks.frame]), point=np.concatenate([landmarks.point, count + tracks.track]),
        px=np.concatenate([landmarks.px, tracks.px]), weight=np.concatenate([landmarks.weight, np.ones(len(tracks.frame))]),
        group=np.concatenate([landmarks.group, np.ones(len(tracks.frame), int)]),
    ).in_order()  # fmt: skip
    priors = Priors(
        points=np.concatenate([known.points, places]),
        points_sigma=np.concatenate([known.points_sigma, np.full(len(places), SURFACE_SIGMA_M)]),
        focal_px=known.focal_px, focal_range_px=known.focal_range_px, held=known.held,
    )  # fmt: skip
    fitted = adjust(both, rough.camera_from_head, center, priors)
    usual = float(np.median(fitted.residual_px[both.group == 1]))
    fits = (both.group == 1) & (fitted.residual_px < 3 * usual)
    return fitted.first(count), Support(count=np.bincount(both.frame[fits], minlength=len(seen)), error_px=usual)


def surface_points(camera_from_head: np.ndarray, focal_px: float, tracks: Tracks, center: np.ndarray) -> np.ndarray:
    """[K,3] where the ray of each followed point, in its most frontal sighting, meets an ellipsoid about the head."""
    yaw = np.abs(view_angles(camera_from_head)[:, 0])[tracks.frame]
    order = np.lexsort((yaw, tracks.track))
    first = order[np.searchsorted(tracks.track[order], np.arange(tracks.track.max() + 1))]
    head_from_camera = np.linalg.inv(camera_from_head)[tracks.frame[first]]
    ray = np.column_stack([(tracks.px[first] - center) / focal_px, np.ones(len(first))])
    ray = np.einsum("kij,kj->ki", head_from_camera[:, :3, :3], ray) / SKULL_M
    eye = head_from_camera[:, :3, 3] / SKULL_M
    a, b, c = np.sum(ray**2, 1), np.sum(ray * eye, 1), np.sum(eye**2, 1) - 1
    along = (-b - np.sqrt(np.maximum(b**2 - a * c, 0))) / a
    return (eye + along[:, None] * ray) * SKULL_M


def reliability(camera_from_head: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[N,R] in 0..1: how much a landmark faces the camera (its normal is away from the head's axis), how frontal the view."""
    normal = points * (1.0, 0.3, 1.0)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    eye = np.linalg.inv(camera_from_head)[:, :3, 3]
    facing = (eye / np.linalg.norm(eye, axis=1, keepdims=True)) @ normal.T
    frontal = frontality(view_angles(camera_from_head)[:, :1])
    return (0.05 + 0.95 / (1 + np.exp(-(facing - 0.1) / 0.12))) * frontal


def candidate(
    method: str, fitted: Bundle, chosen: Scan, center: np.ndarray, support: Support | None, settings: CameraSettings
) -> Candidate:
    """Poses with the landmarks' error and a confidence: from frontal landmarks or from followed points, whichever is more."""
    seen = rigid_px(chosen)
    error = landmark_error(fitted.camera_from_head, fitted.points, fitted.focal_px, seen, center)
    side = np.abs(view_angles(fitted.camera_from_head)[:, 0])
    confidence = np.clip((75 - side) / 45, 0.1, 1) / (1 + (error / (2.5 * np.median(error))) ** 4)
    if support is not None:
        confidence = np.maximum(confidence, np.clip(support.count / ENOUGH, 0, 1) * np.clip((110 - side) / 20, 0, 1))
    weak = error > 1.5 * np.median(error)
    if support is not None:
        weak |= support.count < ENOUGH / 2
    failed = (jump_deg(fitted.camera_from_head, chosen.time_s) > settings.max_jump_deg) & weak
    confidence = np.where(failed | (fitted.camera_from_head[:, 2, 3] <= 0), 0.0, confidence)
    figures = {
        "focal_px": round(fitted.focal_px, 2), "median_error_px": round(float(np.median(error)), 3),
        "registered": round(float(np.mean(confidence > 0)), 4),
    }  # fmt: skip
    if support is not None:
        figures |= {"surface_points": float(np.median(support.count)), "surface_error_px": round(support.error_px, 3)}
    return Candidate(
        method=method, camera_from_world=fitted.camera_from_head, focal_px=fitted.focal_px, points=fitted.points,
        error_px=error, confidence=confidence, figures=figures,
    )  # fmt: skip


def landmark_error(poses: np.ndarray, points: np.ndarray, focal_px: float, seen: np.ndarray, center: np.ndarray) -> np.ndarray:
    """[N] median distance (px) of the rigid landmarks from where the cameras show them."""
    inside = np.einsum("nij,rj->nri", poses[:, :3, :3], points) + poses[:, None, :3, 3]
    px = focal_px * inside[..., :2] / np.maximum(inside[..., 2:], 1e-3) + center
    return np.median(np.linalg.norm(px - seen, axis=-1), axis=1)
