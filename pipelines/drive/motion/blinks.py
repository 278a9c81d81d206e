"""When lids close and open again: blinks of a driver, and whether the finished video has each of them at its time.

A shut lid stays shut for some frames, and which of them scores highest is the tracker's noise: the frame of the largest score
is no time. A blink arrives where the closure passes halfway from where it was to its depth, between frames by straight
lines, and opens where it passes it again. Closures of 0, 0, 1, 1.02, 1, 0 arrive at 1.5 and open at 4.5; with the noise the
other way round, 0, 0, 1, 0.99, 1.02, 0, the peak is two frames later, both times the same to 0.01.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from pipelines.drive.motion.retarget import LEAST_RANGE
from pipelines.face.expression import Calibration

LIDS = ("eyeBlinkLeft", "eyeBlinkRight")
DEEP, STEEP, LONGEST_S = 0.5, 0.35, 0.5
"""A blink reaches this share of the way to closed lids, stands out by this share, and is shut no longer."""
AROUND_S = 0.6
"""A blink stands out from what is this near before and behind it."""
NEAR = 3.0
"""Frames within which a blink answers another."""


@dataclass(frozen=True, kw_only=True)
class Blinks:
    """Blinks in their order, a row each."""

    arrive: np.ndarray
    """[N] frames, with their fractions."""
    open: np.ndarray
    """[N]"""

    def __len__(self) -> int:
        return len(self.arrive)


def closure_of(scores: np.ndarray, names: tuple[str, ...], own: Calibration) -> np.ndarray:
    """[T] of scores [T,E]: 0 where both lids rest, 1 where both are as far shut as this face shuts them."""
    lids = [names.index(name) for name in LIDS]
    rest, shut = (float(np.mean(values[lids])) for values in (own.neutral, own.high))
    return (scores[:, lids].mean(1) - rest) / max(shut - rest, LEAST_RANGE)


def blinks(closure: np.ndarray, rate_hz: float) -> Blinks:
    """Of `closure` [T], 0 where the lids rest and 1 where they are shut."""
    from scipy.signal import find_peaks

    around = 2 * max(1, round(AROUND_S * rate_hz)) + 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # lids that stay shut stand out by nothing
        _, found = find_peaks(closure, height=DEEP, prominence=STEEP, width=(None, LONGEST_S * rate_hz), wlen=around)
    return Blinks(arrive=found["left_ips"], open=found["right_ips"])


def lateness(asked: Blinks, found: Blinks) -> list[tuple[float, float] | None]:
    """For each blink asked for, by how many frames it arrives and opens later in `found`; None where none is near.

    Each one found answers one asked for at most, the nearest pairs first.
    """
    apart = found.arrive[None] - asked.arrive[:, None]
    result: list[tuple[float, float] | None] = [None] * len(asked)
    free = np.ones(len(found), bool)
    for row, column in zip(*np.unravel_index(np.argsort(np.abs(apart), axis=None), apart.shape), strict=True):
        if result[row] is None and free[column] and abs(apart[row, column]) <= NEAR:
            result[row] = (float(apart[row, column]), float(found.open[column] - asked.open[row]))
            free[column] = False
    return result
