import numpy as np
import pytest

from pipelines.face.coverage import EXPRESSIONS, measure_coverage, reach_deg, turned_away, visible_expressions, without_flashes
from pipelines.face.expression import MEASURED

NAN = np.nan


def test_seconds_fall_into_the_bin_of_their_side() -> None:
    yaw = np.array([-75.0, -10.0, -10.0, 10.0, 45.0, NAN])
    found = measure_coverage(yaw, 0.5, {"teeth": np.array([True, False, True, False, True, True])}, np.full(6, NAN))
    assert found.seconds.tolist() == [0, 0, 0, 0.5, 0, 1.0, 0.5, 0.5, 0, 0, 0, 0]
    assert found.expressions["teeth"].tolist() == [0, 0, 0, 0, 0, 0.5, 0, 0.5, 0, 0, 0, 0]  # at -75 nothing can be read
    assert found.record()["yaw_edges_deg"] == list(range(-180, 181, 30))


def test_a_face_lost_at_one_side_and_found_at_the_other_went_around_the_back() -> None:
    time = np.arange(12) * 0.5
    yaw = np.array([30, 60, 70, *[NAN] * 6, -70, -60, -30.0])
    turned = turned_away(time, yaw)
    assert np.isnan(turned[[0, 1, 2, 9, 10, 11]]).all()
    assert turned[3:9] == pytest.approx([101.43, 132.86, 164.29, -164.29, -132.86, -101.43], abs=0.01)
    assert turned_away(time, -yaw)[3:9] == pytest.approx(-turned[3:9])


def test_a_face_lost_and_found_at_one_side_was_in_profile() -> None:
    time, yaw = np.arange(6) * 0.5, np.array([40, 65, NAN, NAN, 62, 30.0])
    assert turned_away(time, yaw)[2:4].tolist() == [80, 80]
    assert turned_away(time, -yaw)[2:4].tolist() == [-80, -80]


@pytest.mark.parametrize("yaw", [[0, 5, NAN, NAN, 65, 70.0], [40, 65, NAN, NAN, NAN, NAN], [NAN, NAN, 60, 30, 0, 0.0]])
def test_a_face_lost_from_the_front_or_for_good_is_not_placed(yaw: list[float]) -> None:
    assert np.isnan(turned_away(np.arange(6) * 0.5, np.array(yaw))).all()


def test_a_face_that_flashes_up_in_the_hair_is_none() -> None:
    time, yaw = np.arange(9) * 0.25, np.array([60, 60, NAN, 20, 20, NAN, 15, 10, 5.0])
    kept = without_flashes(time, yaw)
    assert np.isnan(kept[2:6]).all() and kept[[0, 1, 6, 7, 8]].tolist() == [60, 60, 15, 10, 5]
    assert np.array_equal(without_flashes(time * 2, yaw), yaw, equal_nan=True)


def test_a_face_that_stays_away_for_long_is_not_placed() -> None:
    assert np.isnan(turned_away(np.array([0.0, 1.0, 30.0]), np.array([60.0, NAN, -60.0]))).all()


def test_the_reach_ends_at_the_first_gap() -> None:
    yaw = np.array([-5.0, 5, 5, 45, 45, 75, 75, 170, -170, -95, -95, -5])
    found = measure_coverage(yaw, 1.0, {}, np.full(len(yaw), NAN))
    assert (reach_deg(found, 1, 2.0), reach_deg(found, -1, 2.0)) == (90, 30)


def test_expressions_are_told_from_the_persons_own_rest() -> None:
    rest = np.full(len(MEASURED), 0.2)
    scores = np.tile(rest, (5, 1))
    for row, names in enumerate((("jawOpen",), ("eyeBlinkLeft", "eyeBlinkRight"), ("eyeBlinkLeft",), ("browInnerUp",))):
        scores[row, [MEASURED.index(name) for name in names]] += 0.7
    shown = visible_expressions(scores, rest, np.array([0.5, 0, 0, 0, 0]))
    assert tuple(shown) == EXPRESSIONS
    assert shown["mouth open"].tolist() == shown["teeth"].tolist() == [True, False, False, False, False]
    assert shown["eyes closed"].tolist() == [False, True, False, False, False]  # a wink is none
    assert shown["brows up"].tolist() == [False, False, False, True, False]
