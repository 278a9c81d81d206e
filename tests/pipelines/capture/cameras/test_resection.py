"""Frames between the views get their pose from the model's points that are found in them."""

from pathlib import Path

import numpy as np

from pipelines.capture.cameras.resection import Seen, agreed, register
from pipelines.capture.footage.lens import Lens
from pipelines.capture.frames.scan import frame_name
from pipelines.core.files import write_image
from tests.pipelines.capture.heads import CENTER, FOCAL_PX, SIZE, looking, project, scan_of

MATRIX = np.array([[FOCAL_PX, 0, CENTER[0]], [0, FOCAL_PX, CENTER[1]], [0, 0, 1]])
LENS = Lens(k1=0.0, focal_px=FOCAL_PX, size=SIZE)


def test_the_pose_is_that_of_the_majority() -> None:
    rng = np.random.default_rng(0)
    points, true = rng.normal(0, 0.3, (120, 3)), looking(np.array([20.0]), 5.0, 2.0)
    px = project(true, points)[0] + rng.normal(0, 0.2, (120, 2))
    px[:40] += (25.0, -10.0)
    pose, fits = agreed(points, px, looking(np.array([17.0]), 0.0, 2.0)[0], MATRIX)
    assert 75 <= fits <= 85
    assert np.abs(pose - true[0]).max() < 5e-3


def test_without_a_majority_the_guess_stays() -> None:
    rng, guess = np.random.default_rng(0), looking(np.array([17.0]), 0.0, 2.0)[0]
    pose, fits = agreed(rng.normal(0, 0.3, (60, 3)), rng.uniform(0, 480, (60, 2)), guess, MATRIX)
    assert fits == 0 and np.array_equal(pose, guess)
    assert agreed(np.zeros((5, 3)), np.zeros((5, 2)), guess, MATRIX)[1] == 0


def test_a_frame_between_two_views_is_found_from_a_wrong_guess(tmp_path: Path) -> None:
    """Speckles on a wall and a nearer board; the frame between is expected 3 degrees off."""
    poses = looking(np.array([-4.0, 0.5, 4.0]), 0.0, 2.5)
    points, chosen = drawn(tmp_path, poses)
    views = np.array([0, 2])
    seen = Seen(
        row=np.repeat(views, len(points)), px=project(poses[views], points).reshape(-1, 2), point=np.tile(points, (2, 1))
    )
    expected = poses.copy()
    expected[1] = looking(np.array([3.5]), 0.0, 2.5)[0]
    found = register(tmp_path, chosen, seen, views, expected, LENS)
    assert found.count[1] > 40
    assert np.array_equal(found.camera_from_world[views], poses[views])
    assert np.abs(found.camera_from_world[1] - poses[1]).max() < 0.01
    chosen.time_s[:] = (0.0, 5.0, 10.0)
    assert register(tmp_path, chosen, seen, views, expected, LENS).count[1] == 0


def drawn(partial: Path, poses: np.ndarray):
    """Soft disks of random gray at known points, drawn into frames/."""
    rng = np.random.default_rng(1)
    points = rng.uniform((-0.6, -0.45, -0.4), (0.6, 0.45, 0.4), (160, 3))
    shade, chosen = rng.uniform(60, 190, 160), scan_of(np.zeros((len(poses), 478, 2)))
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    for row, places in enumerate(project(poses, points)):
        image = np.full((SIZE[1], SIZE[0]), 128.0)
        for (u, v), value in zip(places, shade, strict=True):
            image += (value - 128) * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 30)
        gray = np.clip(image, 0, 255).astype(np.uint8)
        write_image(partial / "frames" / f"{frame_name(int(chosen.index[row]))}.jpg", np.repeat(gray[..., None], 3, axis=2))
    return points, chosen
