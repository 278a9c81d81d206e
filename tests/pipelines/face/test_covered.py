"""Rows around a covered part."""

import numpy as np

from pipelines.face.covered import AFTER, BEFORE, LEAST_ROWS, covered_eyes


def test_rows_in_which_something_comes_or_goes_are_covered_too():
    bright, dark = [0.9, 0.2, 0.9, 0.2], [0.1, 0.01, 0.1, 0.01]
    light = np.array([bright] * 20 + [dark] * LEAST_ROWS + [bright] * 20)
    assert list(np.flatnonzero(covered_eyes(light))) == list(range(20 - BEFORE, 20 + LEAST_ROWS + AFTER))
    assert BEFORE > AFTER
