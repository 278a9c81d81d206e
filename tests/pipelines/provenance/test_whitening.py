"""Blocks and their waves."""

import numpy as np
import pytest

from pipelines.provenance.whitening import blocks_of, joined, whiten, window


@pytest.mark.parametrize("shape", [(64, 64), (37, 90), (8, 33), (360, 640)])
def test_blocks_join_to_the_picture_again(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert joined(blocks_of(picture) * window() ** 2, shape) == pytest.approx(picture, abs=1e-5)


def test_a_loud_wave_gets_as_quiet_as_the_others() -> None:
    """A wave of 8 pixels, 100 times as strong as the noise: its row of the spectrum drowned the rest, and no longer does."""
    noise = np.random.default_rng(2).normal(size=(128, 128))
    loud = noise + 100 * np.cos(2 * np.pi * np.arange(128) / 8)
    before, after = (np.abs(np.fft.rfft2(picture)) for picture in (loud, whiten(loud)))
    assert before[0, 16] / np.median(before) > 500 and after[0, 16] / np.median(after) < 50


def test_what_is_even_stays_nothing() -> None:
    assert not whiten(np.zeros((50, 40))).any()
