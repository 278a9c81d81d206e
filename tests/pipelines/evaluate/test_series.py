"""Flicker and yaw bins on series whose answer is known."""

import numpy as np
import pytest

from pipelines.evaluate import Pictures
from pipelines.evaluate.series import EDGES_DEG, bin_of, by_bin, consecutive_pairs, flicker, flicker_rms


@pytest.fixture
def truth() -> Pictures:
    random = np.random.default_rng(0)
    image = random.random((4, 16, 16, 3), dtype=np.float32) * 0.5
    matte = np.zeros((4, 16, 16), np.float32)
    matte[:, 4:12, 4:12] = 1
    return Pictures(image=image, matte=matte, inside=np.ones((4, 16, 16), bool))


def test_what_is_always_wrong_does_not_flicker(truth: Pictures) -> None:
    assert flicker(truth.image + 10 / 255, truth, np.arange(3)) == pytest.approx(0, abs=1e-4)


def test_what_is_wrong_in_every_other_frame_flickers(truth: Pictures) -> None:
    renders = truth.image.copy()
    renders[::2] += 10 / 255
    assert flicker(renders, truth, np.arange(3)) == pytest.approx(10, abs=1e-3)
    assert flicker(renders, truth, np.arange(0)) is None


def test_flicker_looks_at_the_head_in_both_frames(truth: Pictures) -> None:
    renders = truth.image.copy()
    renders[::2, :4] += 0.5
    assert flicker(renders, truth, np.arange(3)) == pytest.approx(0, abs=1e-4)
    truth.inside[:, 4:8] = False
    renders[::2, 4:8] += 0.5
    assert flicker(renders, truth, np.arange(3)) == pytest.approx(0, abs=1e-4)


def test_a_still_picture_flickers_as_much_as_the_film_moves(truth: Pictures) -> None:
    still = np.broadcast_to(truth.image.mean(0), truth.image.shape)
    gray = 255 * truth.image.mean(-1)
    moved = np.abs(np.diff(gray, axis=0))[:, 4:12, 4:12].mean()
    assert flicker(still, truth, np.arange(3)) == pytest.approx(moved, rel=1e-4)


def test_who_follows_whom() -> None:
    rows, times = np.array([10, 11, 12, 20, 21, 22]), np.array([0, 0.1, 0.2, 0.3, 0.4, 1.0])
    assert consecutive_pairs(rows[:4], times[:4]).tolist() == [0, 1]
    assert consecutive_pairs(rows, times).tolist() == [0, 1, 3], "half a second later is no next frame"
    assert consecutive_pairs(np.array([3, 10, 17]), np.array([0.0, 0.1, 0.2])).tolist() == [], (
        "pictures held out here and there"
    )
    assert consecutive_pairs(rows[:1], times[:1]).tolist() == []


def test_bins() -> None:
    yaw = np.array([0.0, -4.9, 5.0, 10.0, -44, 45, 89.9, 180])
    names = [EDGES_DEG[number] for number in bin_of(yaw)]
    assert names == [0, 0, 5, 10, 30, 45, 60, 90]
    rows = [{"psnr_head": float(value), "ssim_head": 0.0, "sharpness_head": 1.0} for value in (20, 30, 10)]
    found = by_bin(rows, np.array([0, 0, 3]))
    assert found["psnr_head"] == [25.0, None, None, 10.0, None, None, None, None]


def test_flicker_rms_is_the_root_of_mean_squares() -> None:
    """A change of 20 gray levels in a quarter of the head is 5 in the mean and 10 in the root mean square."""
    image = np.zeros((2, 8, 8, 3), np.float32)
    truth = Pictures(image=image, matte=np.ones((2, 8, 8), np.float32), inside=np.ones((2, 8, 8), bool))
    shown = image.copy()
    shown[1, :4, :4] = 20 / 255
    assert flicker(shown, truth, np.array([0])) == pytest.approx(5, abs=1e-4)
    assert flicker_rms(shown, truth, np.array([0])) == pytest.approx(10, abs=1e-4)
    assert flicker_rms(shown, truth, np.zeros(0, int)) is None
