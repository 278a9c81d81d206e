"""Filters of signals over time."""

from collections.abc import Callable

import numpy as np


def one_euro(values: np.ndarray, rate_hz: float, rest_hz: float, speed: float) -> np.ndarray:
    """`values` [T,C] smoothed by the One-Euro filter (Casiez et al. 2012) without delay: forwards, then backwards in time.

    The cutoff is `rest_hz + speed * |dx/dt|` with dx/dt in values a second, low-passed at 2 Hz, and the larger of the two
    directions' own estimates counts in each: fast changes such as blinks pass, rest is calm.
    """
    rise = np.abs(np.gradient(values, axis=0)) * rate_hz if len(values) > 1 else np.zeros_like(values)
    pace = np.maximum(low_pass(rise, smoothing(2.0, rate_hz)), low_pass(rise[::-1], smoothing(2.0, rate_hz))[::-1])
    share = smoothing(rest_hz + speed * np.maximum(pace, rise), rate_hz)
    forwards = low_pass(values, share)
    return low_pass(forwards[::-1], share[::-1])[::-1]


def smoothing(cutoff_hz: float | np.ndarray, rate_hz: float) -> np.ndarray:
    """Share of the new value in a first-order low pass: 1 / (1 + rate / (2 pi cutoff))."""
    return 1.0 / (1.0 + rate_hz / (2.0 * np.pi * np.asarray(cutoff_hz, np.float64)))


def low_pass(values: np.ndarray, share: np.ndarray) -> np.ndarray:
    """y_t = y_(t-1) + share_t (x_t - y_(t-1)) along the first axis, starting at the first value."""
    share = np.broadcast_to(share, values.shape)
    result = np.array(values, np.float64)
    for row in range(1, len(result)):
        result[row] = result[row - 1] + share[row] * (values[row] - result[row - 1])
    return result


def by_shots(smooth: Callable[[np.ndarray], np.ndarray], values: np.ndarray, shots: np.ndarray) -> np.ndarray:
    """`smooth` of each run of rows [T,C] of one number in `shots` [T], so that nothing is smoothed across a cut."""
    edges = np.flatnonzero(np.diff(shots)) + 1
    return np.concatenate([smooth(part) for part in np.split(values, edges)])
