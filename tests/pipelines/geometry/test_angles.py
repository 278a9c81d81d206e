"""Yaw and pitch of directions, angles between rotations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.geometry.angles import directions, rotation_angle_deg, shortest_rotations, turn_and_nod_deg, yaw_pitch_deg

FAR = np.random.default_rng(0).normal(size=(200, 3)) * 3


def test_yaw_goes_to_the_left_of_the_person_and_pitch_up() -> None:
    vectors = np.array([[0, 0, 2], [2, 0, 2], [-2, 0, 0], [0, 1, 1], [0, 5, 0], [0, 0, -1]])
    assert yaw_pitch_deg(vectors) == pytest.approx(np.array([[0, 0], [45, 0], [-90, 0], [0, 45], [0, 90], [180, 0]]))


def test_the_length_of_a_direction_does_not_matter_and_a_single_one_will_do() -> None:
    unit = FAR / np.linalg.norm(FAR, axis=1, keepdims=True)
    assert np.abs(yaw_pitch_deg(FAR) - yaw_pitch_deg(unit)).max() < 1e-12
    assert yaw_pitch_deg(FAR[7]).tolist() == yaw_pitch_deg(FAR)[7].tolist()


def test_directions_are_the_way_back() -> None:
    unit = FAR / np.linalg.norm(FAR, axis=1, keepdims=True)
    assert np.abs(directions(yaw_pitch_deg(FAR)) - unit).max() < 1e-12
    assert directions(np.array([[90.0, 0.0]])) == pytest.approx(np.array([[1, 0, 0]]))


def test_angle_of_a_right_angle_and_of_none() -> None:
    turns = Rotation.from_rotvec(np.radians([[0, 0, 0], [0, 90, 0], [0, 180, 0]])).as_matrix()
    assert rotation_angle_deg(turns, np.tile(np.eye(3), (3, 1, 1))) == pytest.approx([0, 90, 180])
    assert rotation_angle_deg(turns[:, None], turns[None])[1, 2] == pytest.approx(90)
    tiny = Rotation.from_rotvec([0, np.radians(1e-6), 0]).as_matrix()
    assert rotation_angle_deg(tiny, np.eye(3)) == pytest.approx(1e-6, rel=1e-6), (
        "the arc cosine of the trace would be 0 or 1e-6 off"
    )


def test_a_turned_head_has_not_nodded() -> None:
    turn, nod = (Rotation.from_euler(axis, angle, degrees=True).as_matrix() for axis, angle in (("y", -30), ("x", -20)))
    assert turn_and_nod_deg(turn) == pytest.approx([30, 0]) and turn_and_nod_deg(nod) == pytest.approx([0, 20])
    assert turn_and_nod_deg(np.stack([turn @ nod, nod])) == pytest.approx(np.array([[30, 20], [0, 20]]))


def test_the_shortest_rotation_takes_one_direction_to_the_other() -> None:
    start, end = np.array([[0.0, 0, 1], [0, 0, 1], [1, 0, 0]]), np.array([[1.0, 0, 0], [0, 0, 1], [0.6, 0.8, 0]])
    turn, angle = shortest_rotations(start, end)
    assert (turn @ start[..., None])[..., 0] == pytest.approx(end)
    assert np.degrees(angle) == pytest.approx([90, 0, 53.13010235])
