"""The square of the person: hair inside wherever the film shows it, near the prior's where that does."""

from dataclasses import replace

import numpy as np
import pytest

from models.head_frame import HeadFrame
from pipelines.train.frames import empty_beyond
from pipelines.train.framing import FREE, SMALLEST, Outline, beyond_square, frame_around, judged, outline_in

FRAME, BOX = HeadFrame.of_scale(0.32, 0.85), 1.0


def outline(top: float, cut: bool = False, right: float = 0.3, bottom: float = -0.42) -> Outline:
    each = np.ones(60)
    return Outline(
        top=top * each, bottom=bottom * each, left=-0.3 * each, right=right * each, cut=each * cut > 0, pixel=0.01
    )  # fmt: skip


def test_high_hair_gets_a_larger_square_that_is_moved_up() -> None:
    before = judged(FRAME, outline(0.48), BOX)
    assert before.cut_share == 1 and before.free_above < 0 and "cuts the hair" in before.warnings()[0]
    after = judged(frame_around(outline(0.48), FRAME, BOX), outline(0.48), BOX)
    assert after.cut_share == 0 and after.free_above == pytest.approx(FREE, abs=1e-3) and not after.warnings()
    side, down = after.frame.crop_extent, after.frame.crop_center[1]
    assert 0.85 < side < 1.0 and down < 0
    assert down + side / 2 == pytest.approx(0.42, abs=1e-3)


def test_short_hair_keeps_the_priors_square() -> None:
    assert frame_around(outline(0.3), FRAME, BOX).crop_extent == 0.85
    assert frame_around(outline(0.3), FRAME, BOX).crop_center == (0.0, 0.0)


def test_hair_to_one_side_moves_the_square_there_first() -> None:
    frame = frame_around(outline(0.3, right=0.45), FRAME, BOX)
    assert frame.crop_extent == 0.85 and frame.crop_center[0] == pytest.approx(0.45 + 0.03 * 0.85 - 0.425, abs=1e-3)


def test_a_hand_in_a_few_frames_moves_nothing_and_hair_beyond_the_volume_does_not_count() -> None:
    usual = outline(0.4)
    raised = replace(usual, top=np.where(np.arange(60) == 3, 0.8, usual.top))
    assert frame_around(raised, FRAME, BOX).crop_extent == frame_around(usual, FRAME, BOX).crop_extent
    high = judged(frame_around(outline(0.9), FRAME, BOX), outline(0.9), BOX, SMALLEST)
    assert high.frame.crop_extent < 1.1 and high.beyond_share == 1


def test_a_head_whose_hair_reaches_beyond_the_volume_is_smaller_in_it() -> None:
    own = frame_around(outline(0.56), FRAME, BOX)
    scale = own.scale / FRAME.scale
    assert scale == pytest.approx(0.51 / 0.56, abs=1e-3)
    framing = judged(own, outline(0.56), BOX, scale)
    assert framing.beyond_share == framing.cut_share == 0 and framing.free_above == pytest.approx(FREE, abs=2e-3)


def test_hair_that_the_film_cuts_is_told_and_not_held_against_the_square() -> None:
    framing = judged(FRAME, outline(0.425, cut=True), BOX)
    assert framing.cut_share == 0 and framing.cut_by_film_share == 1 and "the film itself" in framing.warnings()[0]


def test_an_outline_is_measured_from_the_middle_of_the_square() -> None:
    heads, inside = np.zeros((2, 100, 100), bool), np.ones((2, 100, 100), bool)
    heads[:, 20:80, 30:60] = True
    heads[:, 75:80, :] = True  # shoulders, below the chin
    inside[1, :20] = False
    found = outline_in(heads, inside, extent=2.0, chin=-0.4)
    assert found.top == pytest.approx(0.6) and found.bottom == pytest.approx(-0.6)
    assert found.left == pytest.approx(-0.4) and found.right == pytest.approx(0.2)
    assert found.cut.tolist() == [False, True]


def test_beyond_a_border_that_the_head_does_not_touch_there_is_nothing() -> None:
    inside, alpha = np.zeros((2, 16, 16), bool), np.zeros((2, 16, 16), np.uint8)
    inside[:, 4:, 3:] = True
    alpha[:, 8:12, 6:10] = 255
    alpha[1, 4:12, 6:10] = 255  # hair up to the film's border
    known = empty_beyond(inside, alpha)
    assert known[0].all()
    assert not known[1, :4].any() and known[1, 4:].all()


def test_rays_beyond_the_priors_square_are_those_that_were_added() -> None:
    assert not beyond_square(FRAME, FRAME, 64).any()
    wider = replace(FRAME, crop_extent=1.0, crop_center=(0.0, -0.075))
    beyond = beyond_square(wider, FRAME, 64).reshape(64, 64)
    assert beyond[:9].all() and not beyond[10:, 5:59].any() and beyond[:, :4].all() and beyond[:, 60:].all()
