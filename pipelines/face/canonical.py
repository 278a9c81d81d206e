"""The canonical head: where the tracker's 478 landmarks lie on a neutral mean head, in metres of the metric head frame.

Metric head frame: origin at the head's center, x to the right of a frontal image, y up, z out of the face, metres. Captures are
aligned to it and expressions are measured against it; a generator family's own frame is a similarity away
(models.head_frame.HeadFrame).

`canonical.npz` holds the landmarks of the shipped prior `quick` (its card says how they were measured) in metres:

    prior = load_prior("quick")
    write_arrays(Path("pipelines/face/canonical.npz"), landmarks=prior.landmarks.astype(np.float64) * prior.meters_per_unit)
"""

from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from pipelines.core.files import read_arrays


@cache
def canonical_landmarks() -> np.ndarray:
    """float64 [478,3] m, read only."""
    landmarks = read_arrays(Path(str(resources.files("pipelines.face") / "canonical.npz")))["landmarks"]
    landmarks.setflags(write=False)
    return landmarks
