"""Faces laid as the recognizer wants them, and what it says of them."""

import numpy as np
import pytest

from pipelines.face.recognition import MESH, OwnFaces, align_face, anchors, describe, fit_to_template, identity_distance


def drawn(angle_deg: float, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture with a white spot on the base of the nose, and landmarks, turned and scaled from the aligned face."""
    turn = scale * np.exp(1j * np.radians(angle_deg))
    places = anchors() @ np.array([[turn.real, turn.imag], [-turn.imag, turn.real]]) + (150 * scale, 100 * scale)
    points = np.zeros((478, 3))
    points[list(MESH), :2] = places
    side = int(450 * scale)
    down, across = np.mgrid[0:side, 0:side] + 0.5
    spot = np.hypot(across - places[4, 0], down - places[4, 1]) < 4 * scale
    return np.repeat(spot[..., None] * np.uint8(255), 3, axis=2), points


@pytest.mark.parametrize(("angle_deg", "scale"), [(0, 1.0), (25, 0.6), (-40, 1.5), (10, 4.0)])
def test_a_face_is_laid_on_the_anchors(angle_deg: float, scale: float) -> None:
    found = align_face(*drawn(angle_deg, scale))
    down, across = (np.argwhere(found[..., 0] > 100) + 0.5).mean(0)
    assert found.shape == (150, 150, 3) and (across, down) == pytest.approx(tuple(anchors()[4]), abs=0.5)


def test_the_fit_is_exact_where_there_is_one() -> None:
    angle, scale = np.radians(20), 0.7
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = (anchors() - (5, 9)) @ np.linalg.inv(matrix).T
    assert fit_to_template(source, anchors()) == pytest.approx(np.column_stack([matrix, (5, 9)]), abs=1e-9)


def test_distances_grow_with_the_difference_and_take_other_sizes() -> None:
    random = np.random.default_rng(0)
    face = random.integers(0, 256, (150, 150, 3), np.uint8)
    near = (face.astype(int) + random.integers(-9, 10, face.shape)).clip(0, 255).astype(np.uint8)
    assert identity_distance(face, face) == 0 < identity_distance(face, near) < identity_distance(face, face[::-1])
    small = face[::2, ::2]
    assert identity_distance(small, small) == 0 and describe([small, face]).shape == (2, 128)
    assert describe([]).shape == (0, 128)


def test_own_frames_of_one_scene_say_nothing() -> None:
    assert OwnFaces(descriptions=np.eye(3), time_s=np.array([0.0, 1.0, 1.9])).between_scenes() is None
    assert OwnFaces(descriptions=np.eye(3), time_s=np.array([0.0, 1.0, 2.0])).between_scenes() == pytest.approx(2**0.5)


def test_the_distance_to_own_frames_is_the_median() -> None:
    own = OwnFaces(descriptions=np.array([[0.0, 0], [1, 0], [5, 0]]), time_s=np.arange(3.0))
    assert own.distance_of(np.zeros((1, 2))) == 1.0 and own.distance_of(np.zeros((0, 2))) is None
    assert OwnFaces(descriptions=np.zeros((0, 2)), time_s=np.zeros(0)).distance_of(np.zeros((1, 2))) is None
