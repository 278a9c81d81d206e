"""Mouth state, AED and APD on faces whose answer is known, and the tracker on true ones."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.demo import demo_clips
from pipelines.evaluate.faces import (
    Faces,
    correlation,
    face_distances,
    look,
    measure_face,
    mouth_opening,
    mouth_state,
    mouths,
    tracker,
)
from pipelines.face.expression import MEASURED
from pipelines.geometry.angles import rotation_angle_deg
from pipelines.media.video import read_frames

INTRINSICS = np.array([[1.5, 0, 0.5], [0, 1.5, 0.5], [0, 0, 1.0]])


def faces(opening: list[float], found: list[bool] | None = None) -> Faces:
    count = len(opening)
    return Faces(
        found=np.ones(count, bool) if found is None else np.array(found), points=np.zeros((count, 478, 3)),
        opening=np.array(opening), expression=np.zeros((count, len(MEASURED))), pose=np.tile(np.eye(4), (count, 1, 1)),
    )  # fmt: skip


def turned(degrees: float) -> np.ndarray:
    pose, angle = np.eye(4), np.radians(degrees)
    pose[0, 0] = pose[2, 2] = np.cos(angle)
    pose[0, 2], pose[2, 0] = np.sin(angle), -np.sin(angle)
    return pose


def seen(canonical: np.ndarray, pose: np.ndarray, size: int = 200) -> np.ndarray:
    """Landmarks in px (z too) of the prior's face under camera_from_head, as the tracker gives them."""
    camera = canonical @ pose[:3, :3].T + pose[:3, 3]
    flat = camera @ INTRINSICS.T
    depth = size * INTRINSICS[0, 0] * camera[:, 2:] / pose[2, 3]
    return np.concatenate([size * flat[:, :2] / flat[:, 2:], depth], axis=1)


def front(degrees: float = 0.0) -> np.ndarray:
    """camera_from_head of a camera in front of the face, the head turned by `degrees`."""
    pose = np.diag([1.0, -1.0, -1.0, 1.0]) @ turned(degrees)
    pose[:3, 3] = (0.0, 0.0, 1.6)
    return pose


def test_the_example_of_the_docstring() -> None:
    found = mouth_state(faces([0.07, 0.0, 0.08]), faces([0.10, 0.05, 0.01]))
    assert (found["share"], found["right"], found["asked"], found["unsure"]) == (0.5, 1, 2, 1)
    assert (found["open"], found["open_right"], found["closed"], found["closed_right"]) == (1, 1, 1, 0)


def test_the_mouth_of_each_frame_adds_up_to_the_state() -> None:
    render, truth = faces([0.07, 0.0, 0.08, 0.1], [True, True, True, False]), faces([0.10, 0.05, 0.01, 0.1])
    rows = mouths(render, truth)
    assert [row["mouth_right"] for row in rows] == [True, None, False, None]
    assert rows[3]["mouth_rendered"] is None and rows[3]["mouth_filmed"] == 0.1
    assert sum(row["mouth_right"] is True for row in rows) == mouth_state(render, truth)["right"]


@pytest.mark.parametrize(("filmed", "asked"), [(0.039, 1), (0.041, 0), (0.079, 0), (0.081, 1)])
def test_near_the_threshold_nothing_is_asked(filmed: float, asked: int) -> None:
    assert mouth_state(faces([0.0]), faces([filmed]))["asked"] == asked


def test_lost_faces_count_nowhere_and_are_counted() -> None:
    render, truth = faces([0.2, 0.2, 0.2], [True, False, True]), faces([0.2, 0.2, 0.0], [True, True, False])
    found = mouth_state(render, truth)
    assert (found["share"], found["asked"], found["not_tracked"]) == (1.0, 1, 2)
    nothing = mouth_state(faces([0.2], [False]), faces([0.2]))
    assert nothing["share"] is None and nothing["correlation"] is None
    lost = face_distances(faces([0.2], [False]), faces([0.2]))
    assert (lost["found"], lost["aed"], lost["apd_deg"], lost["apd_shift"]) == (0, None, None, None)


def test_distances_of_known_faces() -> None:
    a, b = faces([0.0, 0.0]), faces([0.0, 0.0])
    b.expression[:, 0] = 0.27
    b.pose[:] = turned(10)
    b.pose[:, 0, 3] = 0.02
    found = face_distances(a, b)
    assert found["aed"] == pytest.approx(0.27 / 27) and found["channels"]["jawOpen"] == pytest.approx(0.27)
    assert found["apd_deg"] == pytest.approx(10) and found["apd_shift"] == pytest.approx(2.0)
    assert rotation_angle_deg(np.eye(3)[None], turned(30)[None, :3, :3]) == pytest.approx([30])


def test_opening_does_not_grow_with_the_turn_of_the_head() -> None:
    canonical = load_prior("quick").landmarks.copy()
    canonical[13, 1] += 0.02
    openings = [mouth_opening(seen(canonical, front(angle))) for angle in (0, 25, 40)]
    assert openings == pytest.approx([openings[0]] * 3, rel=0.1), "of the flat distance it would be 1.3 times"
    assert openings[0] > 0.06


def test_what_landmarks_say() -> None:
    canonical = load_prior("quick").landmarks
    points: list[np.ndarray | None] = [seen(canonical, front(0)), None, seen(canonical, front(12))]
    found = measure_face(points, canonical, np.tile(INTRINSICS, (3, 1, 1)), 200)
    assert found.found.tolist() == [True, False, True]
    assert rotation_angle_deg(found.pose[:1, :3, :3], found.pose[2:, :3, :3]) == pytest.approx([12], abs=0.1)
    assert found.pose[0, :3, 3] == pytest.approx([0, 0, 1.6], abs=0.01)
    still = measure_face(points[:1], canonical, INTRINSICS[None], 200)
    moved = replace(still, pose=found.pose[2:])
    assert face_distances(moved, still)["apd_deg"] == pytest.approx(12, abs=0.1) and face_distances(still, still)["aed"] == 0


def test_a_picture_that_repeats_is_looked_at_once() -> None:
    asked = []

    def find(image: np.ndarray) -> np.ndarray | None:
        asked.append(image.dtype)
        return None

    images = np.broadcast_to(np.full((1, 8, 8, 3), 0.5, np.float32), (4, 8, 8, 3))
    found = look(images, find, load_prior("quick").landmarks, np.tile(INTRINSICS, (4, 1, 1)))
    assert asked == [np.uint8] and not found.found.any()


def test_correlation_of_what_does_not_move_is_unknown() -> None:
    assert correlation(np.ones(5), np.arange(5)) is None
    assert correlation(np.arange(5.0), 3 * np.arange(5.0)) == pytest.approx(1)


def test_the_tracker_on_a_small_picture_of_a_true_face() -> None:
    import cv2

    canonical = load_prior("quick").landmarks
    frame = next(iter(read_frames(demo_clips().capture, indices={0}))).image
    side = min(frame.shape[:2])
    small = cv2.resize(frame[:side, :side], (256, 256), interpolation=cv2.INTER_AREA)
    images = np.stack([small, np.full_like(small, 128)]).astype(np.float32) / 255
    with tracker() as find:
        found = look(images, find, canonical, np.tile(INTRINSICS, (2, 1, 1)))
        again = look(images, find, canonical, np.tile(INTRINSICS, (2, 1, 1)))
    assert found.found.tolist() == [True, False]
    assert np.array_equal(found.points, again.points)
    assert mouth_state(found, again)["not_tracked"] == 1 and face_distances(found, again)["aed"] == 0
