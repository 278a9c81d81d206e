"""When blinks arrive, by closures whose times are known."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.drive.motion.blinks import LIDS, blinks, closure_of, lateness
from pipelines.drive.motion.follow_check import blinked
from pipelines.face.expression import MEASURED, Calibration
from tests.pipelines.drive.takes import moving

RATE = 30.0


def shut(*spans: tuple[int, int], count: int = 120, depth: float = 1.0, rest: float = 0.0) -> np.ndarray:
    """Closure of lids that are shut in frames first..last-1."""
    closure = np.full(count, rest)
    for first, last in spans:
        closure[first:last] = depth
    return closure


def test_a_blink_arrives_halfway_down_and_opens_halfway_up():
    found = blinks(np.array([0.0, 0, 0, 1, 1.02, 1, 0, 0, 0]), RATE)
    assert found.arrive == pytest.approx([2.5], abs=0.02) and found.open == pytest.approx([5.5], abs=0.02)


def test_the_noise_of_shut_lids_moves_the_peak_and_no_time():
    asked, found = shut((40, 44)), shut((40, 44))
    asked[40], found[43] = 1.05, 1.05
    assert found.argmax() - asked.argmax() == 3
    late = lateness(blinks(asked, RATE), blinks(found, RATE))
    assert late == [pytest.approx((0, 0), abs=0.05)]


@pytest.mark.parametrize("frames", [-1, 1, 2])
def test_a_shift_is_found_whatever_the_depth_and_the_rest(frames: int):
    asked, found = shut((40, 44), (80, 83)), shut((40 + frames, 44 + frames), (80 + frames, 83 + frames), depth=0.8, rest=0.2)
    assert lateness(blinks(asked, RATE), blinks(found, RATE)) == [pytest.approx((frames, frames), abs=0.03)] * 2


def test_lids_that_close_slowly_are_late_by_when_they_are_half_shut():
    """Shut at once before, over three frames now: halfway after one and a half frames of three, instead of half of one."""
    slow = shut((40, 46))
    slow[[40, 41]] = 1 / 3, 2 / 3
    late = lateness(blinks(shut((40, 46)), RATE), blinks(slow, RATE))[0]
    assert late == pytest.approx((1.0, 0.0), abs=0.03)


def test_what_is_no_blink():
    assert len(blinks(shut((40, 44), depth=0.4), RATE)) == 0, "half-open"
    assert len(blinks(shut((40, 80)), RATE)) == 0, "asleep"
    assert len(blinks(shut((40, 44), depth=0.8, rest=0.6), RATE)) == 0, "lowered lids that tremble"
    twice = blinks(shut((40, 43), (47, 50)), RATE)
    assert twice.arrive == pytest.approx([39.5, 46.5])


def test_a_blink_is_answered_once_and_only_from_near():
    asked, found = blinks(shut((40, 43), (46, 49), (90, 93)), RATE), blinks(shut((43, 46), (96, 99)), RATE)
    late = lateness(asked, found)
    assert sum(one is not None for one in late) == 1 and late[2] is None
    assert lateness(asked, blinks(np.zeros(120), RATE)) == [None, None, None]
    assert lateness(blinks(np.zeros(120), RATE), found) == []


def lids_of(closure: np.ndarray, rest: float, most: float) -> np.ndarray:
    """[T,E] measured scores of lids that go from `rest` to `most`."""
    scores = np.zeros((len(closure), len(MEASURED)), np.float32)
    scores[:, [MEASURED.index(name) for name in LIDS]] = (rest + (most - rest) * closure)[:, None]
    return scores


def test_the_check_of_a_finished_video_counts_blinks_and_says_how_late_they_are():
    asked = shut((40, 44), (80, 83))
    driver = replace(moving(120), expression=lids_of(asked, 0.1, 0.9))
    render = lids_of(np.roll(asked, 1), -0.2, 0.4)
    render[41:60] = render[0]
    render[90:95] = 9.0
    seen = np.ones(120, bool)
    seen[90:95] = False
    zero = np.zeros(len(MEASURED), np.float32)
    own = Calibration(neutral=zero - 0.2, low=zero - 0.2, high=zero + 0.4)
    assert closure_of(render, MEASURED, own)[[0, 82]] == pytest.approx([0, 1])
    found = blinked(driver, render, seen, own)
    assert found == {"asked": 2, "found": 1, "latest_frames": pytest.approx(1.0, abs=0.05)}
