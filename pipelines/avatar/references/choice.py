"""Which filmed frames serve a frame of the output: unit selection, as speech synthesis does it.

Every slot (the mouth, each eye, the brows, and three times the whole head) follows one reference through the take. A reference
costs what it lacks of the wanted expression, in the channels of the slot, and of the view. Changing it costs as well, and the
cheapest path through the take is found by dynamic programming (Viterbi); live, the same costs decide from frame to frame. A
reference comes and goes over a few frames, so that no change is a jump.

What counts is the expression that is asked for, not the one that the render came to show: where the generator never learned to
shut its eyes, the filmed shut lids arrive all the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelines.avatar.references.bank import Bank
from pipelines.avatar.references.distance import REGIONS, Faces, lacks

WHOLE = 3
"""References of the whole head at a time."""
SWITCH = 0.5
"""Cost of changing a slot's reference."""
FADE = (0.5, 1.0, 0.5)
"""How a reference comes and goes, frame by frame."""
VIEW_SHARE = 0.5
"""How much the view counts in the slots of single regions."""
CHUNK = 256
"""Frames whose distances are held at once."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The references of one frame of the output."""

    rows: np.ndarray
    """[K] rows of the bank."""
    presence: np.ndarray
    """[K] in 0..1: how far each has come."""
    lack: Mapping[str, np.ndarray]
    """[K] squared distances by LACKS, see pipelines.avatar.references.distance."""


@dataclass(frozen=True, kw_only=True)
class Chooser:
    """The bank with the channels of its expressions."""

    bank: Bank
    names: tuple[str, ...]

    def lacks(self, wanted: Faces) -> dict[str, np.ndarray]:
        """[T,N] by LACKS."""
        return lacks(self.bank.faces, wanted, self.names)

    def plan(self, take: Faces) -> np.ndarray:
        """int16 [T,S]: the reference of every slot for every frame of a take."""
        return np.stack(list(self._paths(take)), axis=1).astype(np.int16)

    def _paths(self, take: Faces) -> Iterator[np.ndarray]:
        parts = [slice(start, start + CHUNK) for start in range(0, len(take), CHUNK)]
        costs = [slot_costs(self.lacks(take.rows(part))) for part in parts]
        for region in REGIONS:
            yield cheapest_path(np.concatenate([cost[region] for cost in costs]), SWITCH)
        whole = np.concatenate([cost["whole"] for cost in costs])
        for _ in range(min(WHOLE, whole.shape[1])):
            path = cheapest_path(whole, SWITCH)
            yield path
            whole[np.arange(len(path)), path] = np.inf

    def choices(self, take: Faces) -> list[Choice]:
        """The references for every frame of a take."""
        plan = self.plan(take)
        return [self.choice(plan, frame, take) for frame in range(len(plan))]

    def choice(self, plan: np.ndarray, frame: int, take: Faces) -> Choice:
        """The references of one frame of the take that was planned."""
        presence: dict[int, float] = {}
        for shift, share in enumerate(FADE, -(len(FADE) // 2)):
            for row in plan[min(max(frame + shift, 0), len(plan) - 1)]:
                presence[int(row)] = max(share, presence.get(int(row), 0.0))
        return self.weighed(presence, take.rows(slice(frame, frame + 1)))

    def weighed(self, presence: Mapping[int, float], wanted: Faces) -> Choice:
        """References that are there, for one wanted frame."""
        rows, found = np.array(sorted(presence), int), self.lacks(wanted)
        return Choice(
            rows=rows, presence=np.array([presence[row] for row in rows.tolist()]),
            lack={name: values[0, rows] for name, values in found.items()},
        )  # fmt: skip


@dataclass(kw_only=True)
class LiveChooser:
    """The same from frame to frame: a slot changes its reference when another one would be cheaper by SWITCH."""

    chooser: Chooser
    _past: list[dict[str, list[int]]] = field(default_factory=list, repr=False)
    """The slots of the last frames, the newest first."""

    def __call__(self, wanted: Faces) -> Choice:
        """The references of the next frame."""
        cost = {name: values[0] for name, values in slot_costs(self.chooser.lacks(wanted)).items()}
        last = self._past[0] if self._past else {}
        now = {name: kept(values, last.get(name, []), WHOLE if name == "whole" else 1) for name, values in cost.items()}
        going = FADE[len(FADE) // 2 :]
        self._past = [now, *self._past][: len(going)]
        presence: dict[int, float] = {}
        for share, rows in zip(going, self._past, strict=False):
            for row in (row for slot in rows.values() for row in slot):
                presence[row] = max(share, presence.get(row, 0.0))
        return self.chooser.weighed(presence, wanted)


def kept(cost: np.ndarray, last: list[int], count: int) -> list[int]:
    """The `count` cheapest of cost [N], those of the `last` frame cheaper by SWITCH."""
    biased = cost.copy()
    biased[last] -= SWITCH
    return np.argsort(biased, kind="stable")[:count].tolist()


def slot_costs(found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """float32 [T,N] by region, and `whole`: all regions and the view."""
    regions = {region: found[region] + VIEW_SHARE * found["view"] for region in REGIONS}
    whole = np.mean([found[region] for region in REGIONS], axis=0) + found["view"]
    return {name: cost.astype(np.float32) for name, cost in {**regions, "whole": whole}.items()}


def cheapest_path(cost: np.ndarray, switch: float) -> np.ndarray:
    """[T] columns of cost [T,N] whose sum, with `switch` for every change, is least."""
    total, came_from = cost[0].astype(np.float64), np.zeros(cost.shape, np.int16)
    stay = np.arange(cost.shape[1], dtype=np.int16)
    for row in range(1, len(cost)):
        best = int(total.argmin())
        changed = total[best] + switch < total
        came_from[row] = np.where(changed, best, stay)
        total = np.where(changed, total[best] + switch, total) + cost[row]
    path = np.empty(len(cost), np.int64)
    path[-1] = total.argmin()
    for row in range(len(cost) - 1, 0, -1):
        path[row - 1] = came_from[row, path[row]]
    return path
