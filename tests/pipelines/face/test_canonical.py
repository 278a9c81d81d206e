"""The canonical head is the shipped prior's, in metres."""

import numpy as np

from pipelines.artifacts.prior import load_prior
from pipelines.face.canonical import canonical_landmarks


def test_the_canonical_head_is_that_of_the_shipped_prior_in_metres() -> None:
    prior, head = load_prior("quick"), canonical_landmarks()
    assert head.shape == (478, 3) and head.dtype == np.float64
    assert np.array_equal(prior.frame.points(head).astype(np.float32), prior.landmarks)
    assert 0.085 < np.linalg.norm(head[33] - head[263]) < 0.095  # the outer corners of the eyes of adults lie 9 cm apart
    assert head[4, 2] > head[152, 2] > 0 > head[152, 1]  # nose before the chin, both in front, the chin below the center
