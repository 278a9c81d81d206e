"""Cameras made of a dataset's own."""

from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.artifacts.dataset import near_frontal
from pipelines.geometry.angles import directions


def test_the_frontal_camera_has_the_usual_distance_focal_length_and_center():
    """Three training views, of which the second is the most frontal; a fourth one, of the test, is more so."""
    turned, away = np.array([[30.0, 0.0], [5.0, 0.0], [-50.0, 0.0], [0.0, 0.0]]), [2.0, 3.0, 2.5, 9.0]
    poses, lenses = np.tile(np.eye(4), (4, 1, 1)), np.tile(np.eye(3), (4, 1, 1))
    for row, (direction, distance) in enumerate(zip(directions(turned), away, strict=True)):
        right = np.cross([0.0, -1.0, 0.0], -direction)
        poses[row, :3, :3] = np.column_stack([right / np.linalg.norm(right), np.cross(-direction, right), -direction])
        poses[row, :3, 3] = distance * direction
        lenses[row, :2] = [[2.0, 0, 0.5], [0, 3.0, 0.46]]
    dataset = SimpleNamespace(rows=lambda split: np.arange(3), world_from_camera=poses, intrinsics=lenses)
    camera = near_frontal(dataset)  # type: ignore[arg-type]
    pose, lens = camera.world_from_camera[0].numpy(), camera.intrinsics[0].numpy()
    assert pose[:3, :3] == pytest.approx(poses[1, :3, :3], abs=1e-6)
    assert pose[:3, 3] == pytest.approx(-2.5 * pose[:3, 2], abs=1e-6), "it looks at the head's origin"
    assert lens == pytest.approx(np.array([[2.5, 0, 0.5], [0, 2.5, 0.46], [0, 0, 1]]), abs=1e-6)
