"""Gaps of lips and lids."""

import numpy as np
import pytest

from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import MEASURED, calibrate, lips_apart, rest_of
from pipelines.face.openings import of_open_eyes, openings

JAW, SMILE, LID = (MEASURED.index(name) for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft"))


def test_gaps_are_over_the_width_of_mouth_and_eyes() -> None:
    points = canonical_landmarks().copy()
    points[13], points[14] = points[[13, 14]].mean(0), points[[13, 14]].mean(0)
    width = np.linalg.norm((points[61] - points[291])[:2])
    points[14, 1] -= 0.3 * width
    assert openings(points)[0] == pytest.approx(0.3, rel=1e-5)
    assert openings(10 * points) == pytest.approx(openings(points), rel=1e-5)
    shut = points.copy()
    shut[386] = shut[374]
    assert openings(np.stack([points, shut]))[1] == pytest.approx([*openings(points)[:1], 0.0, *openings(points)[2:]])


def test_lids_are_compared_with_the_persons_own_open_eye() -> None:
    narrow = np.array([[0.0, 0.2, 0.1]] * 18 + [[0.1, 0.02, 0.01]] * 2)
    assert of_open_eyes(narrow)[0] == pytest.approx([0.0, 1.0, 1.0]) and of_open_eyes(narrow)[-1] == pytest.approx(
        [0.1, 0.1, 0.1]
    )
    assert np.isnan(of_open_eyes(np.full((3, 3), np.nan))).all()


def test_who_talks_all_the_time_rests_with_shut_lips_all_the_same() -> None:
    """Nine of ten rows have an open, smiling mouth; the rest is the other one's."""
    rows, gaps = np.zeros((100, len(MEASURED))), np.full((100, 3), 0.2)
    rows[:, JAW], rows[:, SMILE] = 0.4, 0.5
    rows[::10, [JAW, SMILE]], gaps[::10, 0] = 0.02, 0.0
    usual = calibrate(rows, np.ones(100, bool)).neutral
    rest = rest_of(rows, gaps[:, 0], MEASURED, usual)
    assert rest[[JAW, SMILE]] == pytest.approx([0.02, 0.02])


def test_who_squints_most_of_the_time_rests_with_open_lids() -> None:
    rows, gaps = np.zeros((100, len(MEASURED))), np.zeros((100, 3))
    rows[:55, LID] = 0.5
    rest = rest_of(rows, gaps[:, 0], MEASURED, calibrate(rows, np.ones(100, bool)).neutral)
    assert rest[LID] == pytest.approx(0.0)


def test_lips_that_scores_alone_say_are_shut() -> None:
    names = ("jawOpen", "mouthClose", "eyeBlinkLeft")
    assert lips_apart(np.array([[0.5, 0.5, 0.1], [0.5, 0.0, 0.1]]), names) == pytest.approx([0.0, 0.5])
    assert lips_apart(np.array([[0.5, 0.1]]), ("jawOpen", "eyeBlinkLeft")) == pytest.approx([0.5])
