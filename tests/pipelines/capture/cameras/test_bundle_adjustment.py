"""Bundle adjustment against cameras and points that are known."""

import numpy as np

from pipelines.capture.cameras.bundle_adjustment import Priors, Sightings, adjust
from tests.pipelines.capture.heads import CENTER, FOCAL_PX, looking, project, rotation_error_deg


def problem(seed: int = 0, count: int = 60):
    """Points about a head, 20 cameras around it, all sightings, and a disturbed start."""
    rng = np.random.default_rng(seed)
    points = rng.normal(0, 0.2, (count, 3))
    poses = looking(np.linspace(-50, 50, 20), 10 * np.sin(np.arange(20)), distance=2.0)
    px = project(poses, points)
    seen = Sightings(
        frame=np.repeat(np.arange(20), count), point=np.tile(np.arange(count), 20), px=px.reshape(-1, 2),
        weight=np.ones(20 * count), group=np.tile((np.arange(count) >= 20).astype(int), 20),
    )  # fmt: skip
    start = looking(np.linspace(-45, 45, 20), 0.0, distance=2.2)
    return points, poses, seen, start


def priors(points: np.ndarray, **more) -> Priors:
    sigma = np.where(np.arange(len(points)) < 20, 1e-3, 0.3)
    known = {"focal_px": 600.0, "focal_sigma": 10.0, "focal_range_px": (300.0, 1500.0)}
    return Priors(points=points, points_sigma=sigma, **{**known, **more})


def test_exact_sightings_give_exact_cameras_and_focal_length() -> None:
    points, poses, seen, start = problem()
    guess = points + np.where(np.arange(60)[:, None] < 20, 0, np.random.default_rng(1).normal(0, 0.05, points.shape))
    found = adjust(seen, start, CENTER, priors(guess), steps=100)
    assert abs(found.focal_px / FOCAL_PX - 1) < 1e-3
    assert rotation_error_deg(found.camera_from_head, poses).max() < 0.02
    assert np.abs(found.points - points).max() < 2e-3
    assert found.residual_px.max() < 0.05


def test_wild_sightings_hardly_matter() -> None:
    points, poses, seen, start = problem()
    wild = np.random.default_rng(2).choice(len(seen.px), 60, replace=False)
    seen.px[wild] += 80.0
    found = adjust(seen, start, CENTER, priors(points), steps=100)
    assert rotation_error_deg(found.camera_from_head, poses).max() < 0.2


def test_held_poses_stay_and_the_others_follow() -> None:
    points, poses, seen, start = problem()
    held = np.arange(20) % 3 == 0
    start[held] = poses[held]
    found = adjust(
        seen, start, CENTER, priors(points, held=held, focal_px=FOCAL_PX, focal_range_px=(FOCAL_PX, FOCAL_PX + 1e-6))
    )
    assert np.allclose(found.camera_from_head[held], poses[held], atol=1e-8)
    assert rotation_error_deg(found.camera_from_head, poses).max() < 0.05


def test_the_order_of_elimination_does_not_change_the_step() -> None:
    """Points seen often are eliminated densely, others sparsely: a copy of the problem with short tracks agrees."""
    points, _, seen, start = problem()
    long = adjust(seen, start, CENTER, priors(points), steps=3)
    import pipelines.capture.cameras.bundle_adjustment as bundle

    often, bundle.OFTEN = bundle.OFTEN, 1
    try:
        dense = adjust(seen, start, CENTER, priors(points), steps=3)
    finally:
        bundle.OFTEN = often
    assert np.allclose(long.camera_from_head, dense.camera_from_head, atol=1e-9)
