"""A head turns no further than its capture showed, and a little."""

import numpy as np
import pytest

from pipelines.artifacts.avatar_record import ViewLimits
from pipelines.avatar.view_limits import (
    ROOM_DEG,
    directions,
    eased,
    standpoints,
    turned_back,
    view_limits_of,
)
from pipelines.drive.motion.view_path import around
from tests.pipelines.drive.motion.test_view_path import FRONTAL

NARROW = ViewLimits(yaw_deg=(-6.0, 6.0), pitch_deg=(-4.0, 8.0))


def at(*yaw_deg: float) -> np.ndarray:
    return around(FRONTAL, np.radians(np.array(yaw_deg)))


def test_where_a_camera_stands():
    assert standpoints(at(0, 30, -70)) == pytest.approx(np.array([[0, 0], [30, 0], [-70, 0]]), abs=1e-6)
    above = FRONTAL.copy()
    above[:3, 2] = -directions(np.array([[20.0, 10.0]]))[0]
    assert standpoints(above[None]) == pytest.approx(np.array([[20.0, 10.0]]), abs=1e-6)


def test_a_capture_spans_what_all_but_a_few_of_its_cameras_show():
    cameras = at(*np.linspace(-10, 20, 101), 80.0)
    found = view_limits_of(cameras)
    assert found.yaw_deg == pytest.approx((-10 + 0.6, 20 - 0.3), abs=0.3) and found.pitch_deg == pytest.approx((0, 0), abs=1e-6)


def test_what_was_filmed_is_left_alone_to_the_bit():
    cameras = at(-6, -3, 0, 5.9)
    found, by = turned_back(cameras, NARROW, FRONTAL)
    assert np.array_equal(found, cameras) and (by == 0).all()


def test_beyond_it_the_view_approaches_a_little_more_and_keeps_its_distance():
    cameras = at(10, 20, 30, 45, -45)
    found, by = turned_back(cameras, NARROW, FRONTAL)
    assert standpoints(found)[:, 0] == pytest.approx([9.9, 17.0, 19.8, 20.8, -20.8], abs=0.06)
    assert by == pytest.approx([0.1, 3.0, 10.2, 24.2, 24.2], abs=0.06)
    inside = np.linalg.inv(found)
    assert np.allclose(inside[:, :3, 3], np.linalg.inv(cameras)[:, :3, 3]), "the head stays where it is in the picture"
    assert np.allclose(found[:, :3, :3] @ found[:, :3, :3].transpose(0, 2, 1), np.eye(3))


def test_looking_down_is_limited_by_itself():
    tilted = np.tile(np.eye(4), (2, 1, 1))
    tilted[:, :3, 2] = -directions(np.array([[3.0, 40.0], [3.0, -40.0]]))
    tilted[:, :3, 0] = np.cross([0, -1, 0], tilted[:, :3, 2])
    tilted[:, :3, 0] /= np.linalg.norm(tilted[:, :3, 0], axis=1, keepdims=True)
    tilted[:, :3, 1] = np.cross(tilted[:, :3, 2], tilted[:, :3, 0])
    found = standpoints(turned_back(tilted, NARROW, FRONTAL)[0])
    assert found == pytest.approx(np.array([[3.0, 22.6], [3.0, -18.8]]), abs=0.1)


def test_nothing_jumps_and_the_order_stays():
    asked = np.column_stack([np.linspace(-90, 90, 1801), np.zeros(1801)])
    kept = eased(asked, np.array([-6.0, -4.0]), np.array([6.0, 8.0]))[:, 0]
    steps = np.diff(kept)
    assert (steps >= 0).all() and steps.max() <= 0.1 + 1e-9 and np.abs(np.diff(steps)).max() < 1e-3
    assert kept[[0, -1]] == pytest.approx([-6 - ROOM_DEG, 6 + ROOM_DEG], abs=0.01)


def test_the_frontal_camera_is_known_whatever_the_record_says():
    aside = ViewLimits(yaw_deg=(10.0, 20.0), pitch_deg=(5.0, 6.0))
    assert turned_back(FRONTAL[None], aside, FRONTAL)[1] == pytest.approx([0.0])
