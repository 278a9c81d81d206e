"""Where a mark hides."""

import numpy as np
import pytest

from pipelines.provenance.masking import FLAT, activity, strength


def noise(height: int, width: int, spread: float) -> np.ndarray:
    return np.random.default_rng(0).normal(128, spread, (height, width)).clip(0, 255).round().astype(np.uint8)


def test_activity_is_the_mean_distance_to_the_surroundings() -> None:
    """Of noise with deviation 10: 10 sqrt(2 / pi) = 8, a little less for the minimum over three pixels."""
    assert activity(noise(128, 128, 10)).mean() == pytest.approx(7.6, abs=0.4)
    assert not activity(np.full((64, 64), 200, np.uint8)).any()


def test_a_ramp_is_flat_whatever_its_slope() -> None:
    for steepest in (70, 140, 255):
        ramp = np.broadcast_to(np.linspace(0, steepest, 256).round().astype(np.uint8), (64, 256))
        assert activity(ramp)[:, 16:-16].max() < FLAT + 0.05


def test_the_flat_side_of_an_edge_gets_nothing_beyond_its_window() -> None:
    step = np.full((64, 128), 90, np.uint8)
    step[:, 64:] = 180
    found = strength(step)
    assert found[:, 60:68].min() > 1 and not found[:, :48].any() and not found[:, 80:].any()


@pytest.mark.parametrize(
    ("height", "width", "most"), [(64, 48, 3.2), (128, 72, 3.2), (256, 256, 2.771), (513, 300, 2.4), (1080, 1920, 2.4)]
)
def test_strength_has_the_picture_s_size_and_a_ceiling(height: int, width: int, most: float) -> None:
    found = strength(noise(height, width, 60))
    assert found.shape == (height, width) and found.dtype == np.float32
    assert found.max() == pytest.approx(most, abs=1e-3) and found.min() >= 0
