"""From which sides a head was seen and what its face did there: seconds in 12 bins of yaw, for all looks and by expression.

Yaw is positive where the camera sees the person's left side. Where the tracker sees no face because the head shows its profile
or its back, the looks in between are placed by when the face was lost and found again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.face.expression import MEASURED

YAW_EDGES_DEG = tuple(range(-180, 181, 30))
EXPRESSIONS = ("mouth open", "teeth", "eyes closed", "brows up")
OPEN, CLOSED, RAISED, TEETH = 0.35, 0.5, 0.35, 0.25
"""Scores above the person's rest (teeth: share of the open mouth) that count as shown."""
READABLE_DEG = 50.0
"""Beyond this yaw expressions are the tracker's guesses."""
LOST_DEG, LONGEST_S = 40.0, 20.0
"""A face lost at more than this yaw has turned away; it is waited for so long."""
FLASH_S = 0.8


@dataclass(frozen=True, kw_only=True)
class Coverage:
    seconds: np.ndarray
    """[12] in which the head was seen from the bin's side."""
    inferred: np.ndarray
    """[12] of these, placed without seeing the face."""
    expressions: dict[str, np.ndarray]
    """Seconds [12] by EXPRESSIONS."""

    def record(self) -> dict[str, object]:
        return {
            "yaw_edges_deg": list(YAW_EDGES_DEG), "seconds": self.seconds.round(1).tolist(),
            "inferred_s": self.inferred.round(1).tolist(),
            "expressions_s": {name: values.round(1).tolist() for name, values in self.expressions.items()},
        }  # fmt: skip


def measure_coverage(yaw_deg: np.ndarray, step_s: float, shown: dict[str, np.ndarray], turned_deg: np.ndarray) -> Coverage:
    """Of looks `step_s` apart: `yaw_deg` [T] (nan = no face), `shown` [T] bool by expression, `turned_deg` of `turned_away`."""
    readable = np.abs(yaw_deg) <= READABLE_DEG
    inferred = _seconds(turned_deg, step_s)
    return Coverage(
        seconds=_seconds(yaw_deg, step_s) + inferred, inferred=inferred,
        expressions={name: _seconds(yaw_deg[values & readable], step_s) for name, values in shown.items()},
    )  # fmt: skip


def visible_expressions(scores: np.ndarray, neutral: np.ndarray, teeth: np.ndarray) -> dict[str, np.ndarray]:
    """Which of EXPRESSIONS each look [T] shows, from raw `scores` [T,E], the person's rest [E] and the share of teeth [T]."""
    over = dict(zip(MEASURED, (scores - neutral).T, strict=True))
    lids = np.minimum(over["eyeBlinkLeft"], over["eyeBlinkRight"])
    brows = np.maximum(over["browInnerUp"], np.minimum(over["browOuterUpLeft"], over["browOuterUpRight"]))
    return {
        "mouth open": over["jawOpen"] > OPEN,
        "teeth": teeth > TEETH,
        "eyes closed": lids > CLOSED,
        "brows up": brows > RAISED,
    }


def without_flashes(time_s: np.ndarray, yaw_deg: np.ndarray) -> np.ndarray:
    """[T] yaw without the faces seen for less than FLASH_S between two losses: ears and hair are taken for faces so."""
    result, found = yaw_deg.copy(), ~np.isnan(yaw_deg)
    edges = np.flatnonzero(np.diff(found.astype(int)))
    for start, end in zip(edges[:-1] + 1, edges[1:] + 1, strict=True):
        if found[start] and time_s[end] - time_s[start] < FLASH_S:
            result[start:end] = np.nan
    return result


def turned_away(time_s: np.ndarray, yaw_deg: np.ndarray) -> np.ndarray:
    """[T] yaw of the looks without a face (nan in `yaw_deg`) between two with one, where the head had turned away; else nan.

    Lost and found at opposite sides, the head went around the back: its yaw is taken as even in time. Lost and found at the
    same side, it was in profile, 80 degrees. Lost for good, or from the front, nothing is known.
    """
    result, faces = np.full(len(yaw_deg), np.nan), np.flatnonzero(~np.isnan(yaw_deg))
    for last, first in zip(faces[:-1], faces[1:], strict=True):
        a, b = _before(yaw_deg, faces, last, -1), _before(yaw_deg, faces, first, 1)
        away = first - last > 1 and time_s[first] - time_s[last] <= LONGEST_S and min(abs(a), abs(b)) >= LOST_DEG
        if away:
            b += 0.0 if a * b > 0 else 360.0 * np.sign(a)
            share = (time_s[last + 1 : first] - time_s[last]) / (time_s[first] - time_s[last])
            turned = a + share * (b - a) if abs(b) > 180 else np.full(len(share), np.sign(a) * 80.0)
            result[last + 1 : first] = (turned + 180) % 360 - 180
    return result


def reach_deg(coverage: Coverage, side: int, least_s: float) -> int:
    """How far the head was seen to one side (+1: its left) without a gap from the front, in whole bins: 0, 30 ... 180."""
    bins: Sequence[int] = range(6, 12) if side > 0 else range(5, -1, -1)
    reach = 0
    for number in bins:
        if coverage.seconds[number] < least_s:
            break
        reach += 30
    return reach


def _before(yaw_deg: np.ndarray, faces: np.ndarray, row: int, step: int) -> float:
    """The yaw of largest size among the three faces next to a gap: the last one before it is often the tracker's guess."""
    place = int(np.searchsorted(faces, row))
    near = faces[max(0, place - 2) : place + 1] if step < 0 else faces[place : place + 3]
    return float(yaw_deg[near][np.argmax(np.abs(yaw_deg[near]))])


def _seconds(yaw_deg: np.ndarray, step_s: float) -> np.ndarray:
    known = yaw_deg[~np.isnan(yaw_deg)]
    return np.histogram(np.clip(known, -180, 179.9), YAW_EDGES_DEG)[0] * step_s
