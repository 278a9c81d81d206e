"""Which movements were filmed, how often, and what is said about the others."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import MEASURED
from pipelines.face.movements import (
    LIPS,
    MOVEMENTS,
    Faces,
    face_picture,
    lip_gap,
    missing_sentence,
    movement_table,
    strengths,
    supported,
)


def looks(**shown: float) -> Faces:
    """60 frontal faces, 30 a second, lips apart, of which the last ten show the scores `shown`."""
    scores = np.zeros((60, len(MEASURED)))
    for name, score in shown.items():
        scores[-10:, MEASURED.index(name)] = score
    return Faces(np.arange(60) / 30, scores, np.full(60, 0.2), np.zeros((60, 2)))


def frames_of(faces: Faces, rest: np.ndarray | None = None) -> dict[str, int]:
    return {row.movement.name: len(row.rows) for row in movement_table(strengths(faces, rest)) if len(row.rows)}


@pytest.mark.parametrize(
    ("shown", "names"),
    [
        ({"eyeBlinkLeft": 0.9}, {"left eye shut"}), ({"eyeBlinkRight": 0.9}, {"right eye shut"}),
        ({"jawOpen": 0.8}, {"mouth open"}),
        ({"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7}, {"smile"}), ({"mouthPucker": 0.8}, {"pucker"}),
        ({"browInnerUp": 0.9, "browOuterUpLeft": 0.5, "browOuterUpRight": 0.5}, {"brows up"}),
        ({"browDownLeft": 0.5, "browDownRight": 0.5}, {"brows down"}),
        ({"eyeLookOutLeft": 0.6, "eyeLookOutRight": -0.6}, {"look left"}),
        ({"eyeLookOutLeft": -0.6, "eyeLookOutRight": 0.6}, {"look right"}),
        ({"eyeLookUpLeft": 0.5, "eyeLookUpRight": 0.5}, {"look up"}),
        ({"eyeLookUpLeft": -0.6, "eyeLookUpRight": -0.6}, {"look down"}),
    ],
)  # fmt: skip
def test_each_movement_is_told_by_its_channels(shown: dict[str, float], names: set[str]) -> None:
    assert frames_of(looks(**shown)) == dict.fromkeys(names, 10)


def test_narrow_eyes_shut_as_well_as_wide_ones() -> None:
    """A rest of 0.6 leaves 0.57 to the shut lid; 0.4 above it is 70 % of that."""
    narrow = looks(eyeBlinkLeft=0.4)
    narrow.scores[:, MEASURED.index("eyeBlinkLeft")] += 0.6
    assert frames_of(narrow) == {"left eye shut": 10} and frames_of(looks(eyeBlinkLeft=0.4)) == {}


def test_shut_lips_and_turned_heads_are_told_by_what_they_are() -> None:
    faces = looks()
    faces.lip_gap[-10:] = 0.01
    faces.turn_deg[:5, 0], faces.turn_deg[5:12, 0] = 35, -40
    assert frames_of(faces) == {"lips shut": 10, "head to the left": 5, "head to the right": 7}


def test_eyes_that_blink_look_nowhere() -> None:
    both = {"eyeBlinkLeft": 0.9, "eyeBlinkRight": 0.9, "eyeLookUpLeft": -1.0, "eyeLookUpRight": -1.0}
    assert frames_of(looks(**both)) == {"left eye shut": 10, "right eye shut": 10}


def test_turned_faces_count_less_and_profiles_not_at_all() -> None:
    for turn, strength in ((25, 0.8), (37.5, 0.4), (60, 0.0)):
        faces = looks(jawOpen=0.8)
        faces.turn_deg[-10:, 0] = turn
        assert strengths(faces)["jawOpen"].max() == pytest.approx(strength, abs=0.01)


def test_a_person_filmed_from_below_counts_as_one_filmed_from_the_front() -> None:
    faces = looks(jawOpen=0.8)
    faces.turn_deg[:, 1] = -30
    assert strengths(faces)["jawOpen"].max() == pytest.approx(strengths(looks(jawOpen=0.8))["jawOpen"].max())
    faces.turn_deg[-10:, 1] = 30
    assert strengths(faces)["jawOpen"].max() == 0, "60 degrees away from their usual nod"


def test_a_single_wild_frame_shows_nothing_and_a_blink_of_three_does() -> None:
    time_s = np.arange(9) / 30
    wild, blink = np.zeros(9), np.array([0, 0, 0, 0.5, 0.9, 0.5, 0, 0, 0])
    wild[4] = 0.9
    assert not supported(wild, time_s).any() and np.array_equal(supported(blink, time_s), blink)
    assert np.array_equal(supported(wild, time_s * 3), wild), "looks a tenth of a second apart cannot ask each other"
    assert not supported(blink, np.where(np.arange(9) < 4, time_s, time_s + 5))[3]


def test_the_rest_is_the_faces_own_or_that_which_is_given() -> None:
    raised = looks()
    raised.scores[:, [MEASURED.index(name) for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")]] = 0.8
    assert frames_of(raised) == {} and frames_of(raised, np.zeros(len(MEASURED))) == {"brows up": 60}


def test_what_is_missing_is_one_sentence_that_says_what_to_do() -> None:
    signals = {name: np.ones(3) for movement in MOVEMENTS for name in movement.signals}
    assert missing_sentence(movement_table(signals)) == "", "and turned heads are not asked for here"
    signals[LIPS] = np.zeros(3)
    assert missing_sentence(movement_table(signals)) == 'No frame shows shut lips; say "mama" once or twice.'
    signals |= {"eyeBlinkLeft": np.zeros(3), "eyeBlinkRight": np.zeros(3)}
    assert missing_sentence(movement_table(signals)) == (
        'No frame shows shut eyes or shut lips; shut both eyes for a second and say "mama" once or twice.'
    )
    signals["eyeBlinkRight"], signals["eyeLookUpLeft"] = np.ones(3), np.full(3, -1.0)
    assert missing_sentence(movement_table(signals), without=["lips shut"]) == (
        "No frame shows a shut left eye or a look up; "
        "shut both eyes for a second and look left, right, up and down with the eyes alone."
    )


def test_a_table_says_how_often_how_strongly_and_where() -> None:
    signals = {name: np.zeros(4) for movement in MOVEMENTS for name in movement.signals}
    signals["jawOpen"], signals["headLeft"] = np.array([0, 0.4, 0.79, 0.1]), np.array([0.0, 10, 20, 31.4])
    rows = {row.movement.name: row for row in movement_table(signals)}
    assert rows["mouth open"].record() == {"movement": "mouth open", "strongest": 79, "unit": "%"}
    assert list(rows["mouth open"].rows) == [1, 2] and rows["mouth open"].best == 2
    assert rows["head to the left"].record()["strongest"] == 31


def test_no_faces_show_nothing() -> None:
    none = Faces.of(np.zeros((0, 478, 3)), np.zeros(0), canonical_landmarks())
    table = movement_table(strengths(none))
    assert [len(row.rows) for row in table] == [0] * len(MOVEMENTS) and table[0].best == -1


def test_faces_are_measured_from_their_landmarks() -> None:
    canonical = canonical_landmarks()
    turned = canonical @ Rotation.from_euler("y", 30, degrees=True).as_matrix().T
    both = np.stack([canonical, turned]) * (300, -300, -300) + (400, 300, 0)
    both[1, 14] = both[1, 13]
    faces = Faces.of(both, np.arange(2) / 30, canonical)
    assert faces.turn_deg[:, 0] == pytest.approx([0, 30], abs=0.5), "turned to the person's left, toward +x"
    assert faces.scores.shape == (2, len(MEASURED)) and np.array_equal(faces.lip_gap, lip_gap(both)) and faces.lip_gap[1] == 0


def test_a_face_is_cut_out_also_at_the_border() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[40:60, 100:120] = 255
    points = np.zeros((478, 3))
    points[:, 0], points[:, 1] = np.linspace(100, 120, 478), np.linspace(40, 60, 478)
    found = face_picture(image, points, 50)
    assert found.shape == (50, 50, 3) and found[10:40, 10:40].min() > 250 and found[:3].max() == 0
    assert face_picture(image, points - (110, 50, 0), 50).shape == (50, 50, 3)
    assert not face_picture(image, points + (900, 0, 0), 50).any()
