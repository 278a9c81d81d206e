"""A camera in metres and the same camera in a generator's units show points at the same places."""

import numpy as np
import pytest

from models.head_frame import HeadFrame

TURN = np.array([[0.0, -1.0, 0.0], [0.8, 0.0, -0.6], [0.6, 0.0, 0.8]])


def frame() -> HeadFrame:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2.5 * TURN, (0.1, -0.2, 0.3)
    return HeadFrame(prior_from_head=matrix, crop_extent=1.2)


def test_a_camera_sees_the_same_in_both_spaces() -> None:
    random = np.random.default_rng(0)
    points, pose = 0.1 * random.normal(size=(20, 3)), np.eye(4)[None].repeat(2, 0)
    pose[:, :3, :3], pose[:, :3, 3] = TURN.T, random.normal(size=(2, 3)) + (0, 0, 2)
    inside = points @ pose[1, :3, :3].T + pose[1, :3, 3]
    other = frame().camera_from_prior(pose)[1]
    there = frame().points(points) @ other[:3, :3].T + other[:3, 3]
    assert np.allclose(there, 2.5 * inside)
    assert np.allclose(other[:3, :3] @ other[:3, :3].T, np.eye(3))


def test_points_come_back() -> None:
    points = np.random.default_rng(1).normal(size=(5, 3))
    assert np.allclose(frame().head_points(frame().points(points)), points)


def test_a_scale_alone_keeps_axes_and_origin() -> None:
    assert np.allclose(HeadFrame.of_scale(0.32, 0.85).points(np.array([[0.32, 0.0, -0.16]])), [[1.0, 0.0, -0.5]])


@pytest.mark.parametrize("matrix", [np.diag([1.0, 2.0, 1.0, 1.0]), np.diag([-1.0, 1.0, 1.0, 1.0]), np.diag([0.0, 0, 0, 1])])
def test_what_is_no_similarity_is_refused(matrix: np.ndarray) -> None:
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="similarity"):
        HeadFrame(prior_from_head=matrix, crop_extent=1.0)
