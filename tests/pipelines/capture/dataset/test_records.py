"""Which frames are held out."""

import numpy as np
import pytest

from pipelines.capture.dataset.records import split


def test_the_end_of_the_time_is_held_out() -> None:
    times = np.concatenate([np.linspace(0, 4, 10), np.linspace(4.1, 10, 90)])
    kinds, start = split(times, 0.15)
    assert start == pytest.approx([8.5])
    assert np.all((kinds == "test") == (times > 8.5))
