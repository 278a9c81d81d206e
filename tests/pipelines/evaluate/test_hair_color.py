"""Colored specks in hair."""

import numpy as np
import pytest

from pipelines.evaluate.hair_color import hair_color_noise
from pipelines.evaluate.protocol import Pictures


def test_specks_of_color_count_and_brightness_does_not() -> None:
    random = np.random.default_rng(0)
    texture = 0.3 + 0.1 * random.random((1, 64, 64, 1))
    color = 0.05 * random.normal(size=(1, 64, 64, 3))
    color -= color.mean(-1, keepdims=True)
    filmed = (texture + color).astype(np.float32)
    mask = np.zeros((1, 64, 64), bool)
    mask[:, :30] = True
    truth = Pictures(image=filmed, matte=mask.astype(np.float32), inside=np.ones_like(mask))
    assert hair_color_noise(filmed, truth, mask) == pytest.approx(1)
    assert hair_color_noise((0.5 * texture + color).astype(np.float32), truth, mask) == pytest.approx(1, abs=1e-3)
    assert hair_color_noise((texture + 2 * color).astype(np.float32), truth, mask) == pytest.approx(2, abs=0.01)
    elsewhere = filmed.copy()
    elsewhere[:, 40:] = 0
    assert hair_color_noise(elsewhere, truth, mask) == pytest.approx(1)
    assert hair_color_noise(filmed, truth, np.zeros_like(mask)) is None
