"""Head poses from landmarks, and what followed points add to them."""

import numpy as np
import pytest

from pipelines.capture.cameras.candidate import CameraSettings, jump_deg, steadied, view_angles
from pipelines.capture.cameras.landmark_cameras import from_landmarks
from pipelines.capture.cameras.surface_tracks import Tracks
from pipelines.face.canonical import canonical_landmarks
from tests.pipelines.capture.heads import FOCAL_PX, SIZE, filmed, looking, project, rotation_error_deg, scan_of


def followed(poses: np.ndarray, count: int = 120, length: int = 14, noise_px: float = 0.2) -> Tracks:
    """Points on an ellipsoid, each seen for `length` frames while it faces the camera."""
    rng = np.random.default_rng(3)
    normal = rng.normal(size=(count, 3)) * (1, 0.6, 1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    points = normal * (0.08, 0.128, 0.0992)
    px, eye = project(poses, points), np.linalg.inv(poses)[:, :3, 3]
    faces = (eye / np.linalg.norm(eye, axis=1, keepdims=True)) @ normal.T > 0.3
    rows = []
    for point in range(count):
        visible = np.flatnonzero(faces[:, point])
        if len(visible) >= length:
            first = rng.integers(0, len(visible) - length + 1)
            rows += [(frame, len(rows), point) for frame in visible[first : first + length]]
    frame, _, point = np.array(rows).T
    _, track = np.unique(point, return_inverse=True)
    return Tracks(frame=frame, track=track, px=px[frame, point] + rng.normal(0, noise_px, (len(frame), 2)))


def test_landmarks_of_the_mean_head_itself_give_its_poses() -> None:
    clip = filmed()
    settings = CameraSettings(focal_prior=FOCAL_PX / SIZE[0])
    found = from_landmarks(clip.chosen, SIZE, settings, Tracks.none())
    assert np.median(rotation_error_deg(found.camera_from_world, clip.poses)) < 0.3
    assert found.focal_px == pytest.approx(FOCAL_PX, rel=0.05)
    assert found.confidence.min() > 0.2
    assert not found.problems


def test_followed_points_correct_landmarks_that_bend_toward_the_profile() -> None:
    """The tracker's landmarks lag behind a turning head, as those of mediapipe do beyond 30 degrees."""
    yaw = 65 * np.sin(np.linspace(0, 2 * np.pi, 60))
    true, lagging = looking(yaw), looking(np.where(np.abs(yaw) > 30, np.sign(yaw) * (30 + 0.6 * (np.abs(yaw) - 30)), yaw))
    seen = project(lagging, canonical_landmarks()) + np.random.default_rng(5).normal(0, 1.0, (60, 478, 2))
    chosen, settings = scan_of(seen), CameraSettings(focal_px=FOCAL_PX)
    alone = from_landmarks(chosen, SIZE, settings, Tracks.none())
    together = from_landmarks(chosen, SIZE, settings, followed(true, 400))
    assert np.median(rotation_error_deg(alone.camera_from_world, true)) > 3
    assert np.median(rotation_error_deg(together.camera_from_world, true)) < 1.5
    assert together.figures["surface_points"] > 30


def test_a_frame_that_contradicts_its_neighbors_gets_no_confidence() -> None:
    clip = filmed(noise_px=0.2)
    points = clip.chosen.points.copy()
    points[20, :, :2] = project(looking(np.array([-40.0]), 25.0), clip.landmarks)[0] + np.random.default_rng(0).normal(
        0, 4, (478, 2)
    )
    found = from_landmarks(scan_of(points[..., :2]), SIZE, CameraSettings(focal_px=FOCAL_PX), Tracks.none())
    assert found.confidence[20] == 0
    assert np.sum(found.confidence == 0) <= 3


def test_a_given_focal_length_is_kept() -> None:
    found = from_landmarks(filmed().chosen, SIZE, CameraSettings(focal_px=650.0), Tracks.none())
    assert found.focal_px == pytest.approx(650.0, rel=1e-6)


def test_view_angles_are_where_the_camera_stands() -> None:
    angles = view_angles(looking(np.array([0.0, 30.0, -40.0]), np.array([0.0, 10.0, -5.0])))
    assert angles == pytest.approx(np.array([[0, 0], [30, 10], [-40, -5]]), abs=1e-6)


def test_fast_but_even_motion_is_no_jump() -> None:
    poses, time_s = looking(np.linspace(-60, 60, 20)), np.arange(20) / 10
    assert jump_deg(poses, time_s).max() == 0
    poses[10] = looking(np.array([30.0]))[0]
    assert jump_deg(poses, time_s).argmax() == 10
    assert jump_deg(poses, time_s)[10] > 20


def test_tremble_is_taken_from_a_still_head_and_nothing_from_a_shaken_one() -> None:
    time_s, rng = np.arange(60) / 15, np.random.default_rng(0)
    slow = looking(4 * np.sin(time_s), 3 * np.cos(time_s))
    noisy = looking(4 * np.sin(time_s) + rng.normal(0, 0.3, 60), 3 * np.cos(time_s) + rng.normal(0, 0.3, 60))
    before, after = (rotation_error_deg(poses, slow)[3:-3] for poses in (noisy, steadied(noisy, time_s)))
    assert np.sqrt((after**2).mean()) < 0.8 * np.sqrt((before**2).mean())
    shaken = looking(20 * np.sin(2 * np.pi * 2 * time_s))
    assert rotation_error_deg(steadied(shaken, time_s), shaken).max() < 0.4
    turning = looking(np.linspace(-40, 40, 60))
    assert rotation_error_deg(steadied(turning, time_s), turning).max() < 1e-3
    photos = looking(rng.uniform(-40, 40, 60))
    assert np.array_equal(steadied(photos, np.arange(60.0)), photos)
