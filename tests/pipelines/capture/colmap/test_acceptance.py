"""What becomes of frames that are no views of a model."""

import numpy as np
import pytest

from pipelines.capture.colmap.acceptance import _interpolate


def test_frames_between_known_ones_are_corrected_as_these_are() -> None:
    """Twice as far away and aside at both ends: in the middle too, which is farther away than they are."""
    reference = np.tile(np.eye(4), (5, 1, 1))
    reference[:, :3, 3] = np.column_stack([0.1 * np.arange(5), np.zeros(5), [2.0, 2.0, 3.0, 2.0, 2.0]])
    ends, wanted = np.array([0, 4]), reference.copy()
    wanted[:, 2, 3] *= 2
    wanted[:, :2, 3] = (reference[:, :2, 3] / reference[:, 2:3, 3] + [0.05, -0.1]) * wanted[:, 2:3, 3]
    assert _interpolate(wanted[ends], ends, reference) == pytest.approx(wanted)
