"""The similarity transform from the capture's world to the metric head frame."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.capture.dataset.alignment import RIGID, AlignmentSettings, align
from pipelines.core.errors import UnusableMaterial
from pipelines.face.canonical import canonical_landmarks
from tests.pipelines.capture.heads import looking

TURN = Rotation.from_rotvec([0.3, -1.1, 0.5]).as_matrix()
SCALE, SHIFT = 0.037, np.array([0.2, -0.4, 1.3])


def world_points(noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The canonical head's rigid landmarks, and where they are in a world that SCALE, TURN, SHIFT take to head space."""
    head = canonical_landmarks()[RIGID]
    moved = head + np.random.default_rng(0).normal(0, noise, head.shape) if noise else head
    return (moved - SHIFT) @ TURN / SCALE, head


def test_a_known_similarity_is_recovered() -> None:
    found = align(*world_points(), AlignmentSettings())
    assert found.scale == pytest.approx(SCALE, abs=1e-6)
    assert np.abs(found.rotation - TURN).max() < 1e-4
    assert np.abs(found.shift - SHIFT).max() < 1e-3
    assert found.rms_m < 1e-6


def test_outliers_move_it_little() -> None:
    world, head = world_points(noise=0.00064)
    world[:4] += 3.0
    found = align(world, head, AlignmentSettings(max_rms_m=0.32))
    assert found.scale == pytest.approx(SCALE, rel=0.01)
    assert np.abs(found.rotation - TURN).max() < 0.02


def test_a_shape_that_is_no_head_is_refused_with_the_figure() -> None:
    world, head = world_points(noise=0.032)
    with pytest.raises(UnusableMaterial, match=r"\d\d\.\d mm off \(limit 6\.4\)"):
        align(world, head, AlignmentSettings())


def test_poses_and_points_go_there_and_back() -> None:
    found = align(*world_points(), AlignmentSettings())
    poses = looking(np.array([-20.0, 5.0, 40.0]), 7.0)
    assert np.allclose(found.camera_from_head(found.camera_from_world(poses)), poses)
    head = np.random.default_rng(1).normal(0, 0.3, (5, 3))
    world = found.inverse_points(head)
    assert np.allclose(found.points(world), head)
    of_world = found.camera_from_world(poses)[0]
    assert np.allclose(of_world[:3, :3] @ world[0] + of_world[:3, 3], (poses[0, :3, :3] @ head[0] + poses[0, :3, 3]) / SCALE)
