"""Projections, similarities and rotations."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from models.camera import Camera
from pipelines.geometry.rigid import (
    OPENGL_FROM_OPENCV,
    nearest_rotation,
    perspective,
    pinhole,
    project,
    similarity,
    soft_limit,
    transform,
)


def test_a_point_seen_by_a_camera() -> None:
    """2 in front of the camera, .2 to its right and .1 below: focal length 3 over 2 is 1.5."""
    camera = np.eye(4)
    camera[:3, 3] = [0, 0, -2]
    seen = project(camera, pinhole(3.0, np.array([0.5, 0.4])), np.array([[0.2, 0.1, 0.0], [0.0, 0.0, 4.0]]))
    assert seen == pytest.approx(np.array([[0.8, 0.55, 2.0], [0.5, 0.4, 6.0]]))


def test_the_same_as_the_camera_of_the_networks() -> None:
    random = np.random.default_rng(1)
    pose = np.tile(np.eye(4), (5, 1, 1))
    pose[:, :3, :3], pose[:, :3, 3] = (
        Rotation.from_quat(random.normal(size=(5, 4))).as_matrix(),
        random.normal(size=(5, 3)) - [0, 0, 9],
    )
    lens = np.tile(np.array([[3.0, 0.1, 0.5], [0, 2.8, 0.45], [0, 0, 1]]), (5, 1, 1))
    points = random.normal(size=(7, 3))
    camera = Camera(world_from_camera=torch.from_numpy(pose), intrinsics=torch.from_numpy(lens))
    where, depth = camera.project(torch.from_numpy(points).expand(5, -1, -1))
    assert project(pose, lens, points) == pytest.approx(torch.cat([where, depth], 2).numpy(), rel=1e-10)


def test_a_transform_turns_then_shifts() -> None:
    a_from_b = np.eye(4)
    a_from_b[:3, :3], a_from_b[:3, 3] = Rotation.from_euler("z", 90, degrees=True).as_matrix(), [10, 0, 0]
    assert transform(a_from_b, np.array([[1.0, 0, 0]])) == pytest.approx(np.array([[10, 1, 0]]))
    assert perspective(np.array([[1.0, 2.0, 4.0]]), np.eye(3)) == pytest.approx(np.array([[0.25, 0.5, 4.0]]))


def test_a_similarity_is_found_in_spite_of_outliers() -> None:
    random = np.random.default_rng(2)
    source, turn = random.normal(size=(40, 3)), Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix()
    target = 2.5 * source @ turn.T + [1, 2, 3]
    scale, rotation, shift = similarity(source, target)
    assert scale == pytest.approx(2.5) and rotation == pytest.approx(turn) and shift == pytest.approx([1, 2, 3])
    target[:4] += 5
    assert similarity(source, target, rounds=30)[0] == pytest.approx(2.5, rel=0.02)


def test_the_nearest_rotation_mirrors_nothing() -> None:
    turn = Rotation.from_quat(np.random.default_rng(3).normal(size=(6, 4))).as_matrix()
    assert nearest_rotation(1.7 * turn) == pytest.approx(turn)
    assert np.linalg.det(nearest_rotation(turn @ np.diag([1.0, 1.0, -0.5]))) == pytest.approx(np.ones(6))
    assert nearest_rotation(turn[0]) == pytest.approx(turn[0])


def test_a_soft_limit_is_never_passed_and_keeps_directions() -> None:
    vectors = np.array([[0.0, 0, 0], [1e-3, 0, 0], [0, 5, 0], [300, 400, 0]])
    kept = soft_limit(vectors, 1.0)
    assert kept[:2] == pytest.approx(vectors[:2], abs=1e-8) and np.linalg.norm(kept, axis=1).max() <= 1
    assert kept[3] == pytest.approx([0.6, 0.8, 0])


def test_opengl_looks_along_minus_z() -> None:
    assert (OPENGL_FROM_OPENCV @ [0, 0, 1, 1]).tolist() == [0, 0, -1, 1] and pytest.approx(
        np.eye(4)
    ) == OPENGL_FROM_OPENCV @ OPENGL_FROM_OPENCV
