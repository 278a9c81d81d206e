"""Smoothing over time."""

import numpy as np
import pytest

from pipelines.geometry.filters import low_pass, one_euro, smoothing


def test_the_share_of_a_new_value() -> None:
    """1 / (1 + 30 / (2 pi 3)) = 0.3858."""
    assert smoothing(3.0, 30.0) == pytest.approx(0.38587, abs=1e-5)


def test_a_low_pass_starts_at_the_first_value() -> None:
    assert low_pass(np.array([[1.0], [2.0], [2.0]]), np.array(0.5))[:, 0].tolist() == [1.0, 1.5, 1.75]


def test_rest_is_calmed_and_a_jump_passes_without_delay() -> None:
    noise = 0.01 * np.random.default_rng(0).normal(size=(200, 1))
    step = np.repeat([0.0, 1.0], 100)[:, None]
    calm = one_euro(step + noise, 30.0, rest_hz=0.5, speed=2.0)
    assert calm[20:80].std() < 0.5 * noise[20:80].std()
    assert abs(calm[98, 0]) < 0.2 and abs(calm[101, 0] - 1) < 0.2
    assert np.abs(one_euro(step[::-1], 30.0, 0.5, 2.0)[::-1] - one_euro(step, 30.0, 0.5, 2.0)).max() < 0.05
    assert one_euro(step[:1], 30.0, 0.5, 2.0) == pytest.approx(step[:1])
