"""The range guard."""

import csv
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.avatar_record import ExpressionRange
from pipelines.core.files import write_arrays
from pipelines.drive.motion.range_guard import (
    COLORS,
    Guarded,
    captured,
    cell,
    ellipsoid,
    guard,
    strip,
    verdicts,
    write_frames,
)
from pipelines.drive.settings import GuardSettings

NAMES = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "eyeBlinkLeft")


def known_rows() -> np.ndarray:
    """Left and right always smile together."""
    rows = np.random.default_rng(0).normal(0.3, 0.2, size=(2000, len(NAMES)))
    rows[:, 2] = rows[:, 1] + np.random.default_rng(1).normal(0, 0.02, 2000)
    return rows


def test_what_was_captured_is_within_one_and_the_rest_is_not():
    rows = known_rows()
    known = ellipsoid(rows)
    assert (known.distance(rows) <= 1).mean() == pytest.approx(0.99, abs=0.003)
    together, apart = rows.mean(0) + (0, 0.3, 0.3, 0), rows.mean(0) + (0, 0.3, -0.3, 0)
    assert known.distance(together[None])[0] < 0.6 < 1.3 < known.distance(apart[None])[0]


def test_far_expressions_are_drawn_back_and_blinks_are_not():
    known = ellipsoid(known_rows())
    near, far = known.center + 0.05, known.center + (2.0, 0, 0, 2.0)
    found = guard(np.stack([near, far]), NAMES, known, GuardSettings())
    assert found.flagged.tolist() == [False, True] and found.faded[0] == 0 < 0.4 < found.faded[1]
    assert found.expression[0] == pytest.approx(near) and found.expression[1, 3] == pytest.approx(far[3])
    jaw_only = np.where(np.arange(4) == 3, known.center, found.expression[1])
    assert known.distance(jaw_only[None])[0] < 1.4
    untouched = guard(np.stack([near, far]), NAMES, known, GuardSettings(fade=False))
    assert untouched.expression[1] == pytest.approx(far) and untouched.flagged[1]


def test_drawing_back_never_jumps():
    """A path straight outwards is drawn onto a path that never turns round, and starts where it was."""
    known = ellipsoid(known_rows())
    path = known.center + np.linspace(0, 4, 400)[:, None] * np.array([0.5, 0, 0, 0])
    jaw = guard(path, NAMES, known, GuardSettings()).expression[:, 0]
    assert (np.diff(jaw) >= -1e-6).all() and np.diff(jaw).max() < 1.01 * np.diff(path[:, 0]).max()


def test_an_avatar_without_its_pairs_still_has_a_rim(tmp_path: Path):
    rest, spread = (0.3,) * 4, (0.2,) * 4
    space = ExpressionRange(space="measured", names=NAMES, neutral=rest, low=rest, high=rest, mean=rest, std=spread)
    known = captured(tmp_path, space)
    assert known.distance(np.full((1, 4), 0.3))[0] == 0 and known.distance(np.full((1, 4), 1.3))[0] > 2
    write_arrays(tmp_path / "pairs.npz", expression=known_rows())
    assert captured(tmp_path, space).distance(np.full((1, 4), 0.3))[0] < 0.2


def test_the_csv_and_the_strip(tmp_path: Path):
    clamped = np.zeros((5, 4), bool)
    clamped[1, [0, 3]] = True
    found = Guarded(
        expression=np.zeros((5, 4)), distance=np.array([0.2, 0.5, 1.5, 0.3, 0.3]), faded=np.array([0, 0, 0.3, 0, 0]),
        flagged=np.array([False, False, True, False, False]),
    )  # fmt: skip
    states = ["tracked", "tracked", "tracked", "interpolated", "held"]
    back = np.array([2.0, 0, 0, 0, 0])
    write_frames(tmp_path / "a.csv", np.arange(5) / 25, states, np.ones(5), found, clamped, NAMES, 0 * back)
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["flagged"] for row in rows] == ["0", "0", "1", "0", "1"]
    assert rows[1]["clamped"] == "jawOpen+eyeBlinkLeft" and rows[2]["distance"] == "1.500" and rows[4]["time_s"] == "0.1600"
    assert [row["turned_back_deg"] for row in rows] == ["0.0"] * 5
    assert verdicts(states, clamped, found.faded, found.flagged, back)[0] == "care"
    marks = verdicts(states, clamped, found.faded, found.flagged, 0 * back)
    assert marks == ["fine", "care", "flagged", "care", "flagged"]
    bar = strip(marks, 10, 4)
    assert bar.shape == (4, 10, 3) and tuple(bar[0, 0]) == COLORS["fine"] and tuple(bar[0, 4]) == COLORS["flagged"]
    assert tuple(strip(["fine"] * 99 + ["flagged"], 10, 4)[0, -1]) == COLORS["flagged"], "one bad frame is not averaged away"


def test_a_name_that_a_spreadsheet_would_compute_is_a_text() -> None:
    assert (
        cell("=HYPERLINK(1)") == "'=HYPERLINK(1)" and cell("@a") == "'@a" and cell("jawOpen+mouthClose") == "jawOpen+mouthClose"
    )
