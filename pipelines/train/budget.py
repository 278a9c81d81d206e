"""What a training was asked becomes numbers once: `plan.json` holds them, and a resumed run obeys the same plan.

A time budget becomes steps and threads, a limit of memory becomes micro-batches. Only what happens on the way changes it:
where memory does not suffice after all micro-batches become smaller, and a machine that became slower ends the steps early.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from pipelines.core.errors import SettingError
from pipelines.core.files import read_json, write_json
from pipelines.train.settings import FinetuneSettings


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a step computes, and how much of it at once."""

    batch: int = 0
    """Images a step learns from."""
    micro_batch: int | None = None
    """Of these at once; none: all."""
    memory: Literal["fast", "light"] = "fast"
    image_size: int = 0
    raw_size: int = 0
    """Rays along a side."""
    peak_gb: float = 0.0
    """Measured of one step; 0 where no limit was given."""
    memory_why: str = ""

    def applied(self, settings: FinetuneSettings) -> FinetuneSettings:
        return replace(settings, micro_batch=self.micro_batch or settings.micro_batch, memory=self.memory)


@dataclass(frozen=True, kw_only=True)
class Plan:
    steps: int
    """Optimizer steps of the appearance model."""
    pairs: int
    """Latents rendered and labeled for the expression map."""
    threads: int
    """CPU threads of every tensor operation; part of what makes a rerun bit-identical."""
    seconds_per_step: float
    """Measured when the plan was made; 0 when the steps were given."""
    seconds_for_steps: float
    why: str
    deadline_s: float = 0.0
    """Seconds after which the steps end early, and what follows still fits the budget; 0: never."""
    reserve_s: float = 0.0
    """Seconds for what follows the steps."""
    sizes: Sizes = Sizes()

    @classmethod
    def read(cls, path: Path) -> "Plan":
        known = read_json(path)
        return cls(**known | {"sizes": Sizes(**known.get("sizes", {}))})

    def late(self, spent_s: float, pace: float) -> bool:
        """Whether to end the steps after `spent_s` seconds, because what follows would not fit the budget otherwise.

        `pace` are seconds a step of late, 0 where too few were made: what follows takes as many times its planned seconds as a
        step does. 480 s for steps of 0.2 s, 60 s for the rest: at 0.4 s a step it is late after 420 s.
        """
        if self.deadline_s == 0 or self.seconds_per_step == 0:
            return False
        slower = max(pace / self.seconds_per_step, 1.0)
        return spent_s + self.reserve_s * (slower - 1) >= self.deadline_s


@dataclass(frozen=True, kw_only=True)
class Share:
    """How a budget is divided."""

    labeling: float = 0.12
    """Part of the budget for pairs and the expression map, at most `labeling_cap_s`."""
    labeling_cap_s: float = 40.0
    least_pairs: int = 150
    """However long a pair takes."""
    fixed_s: float = 20.0
    """Loading, evaluation, report."""
    safety: float = 0.9
    """Machines slow down; plan with this part of what remains."""

    def labeling_s(self, budget_s: float) -> float:
        return min(self.labeling * budget_s, self.labeling_cap_s)


def make_plan(
    path: Path, *, steps: int | None, pairs: int, budget_s: float | None, spent: Callable[[], float],
    measure: Callable[[int], float], measure_rest: Callable[[int, float], float] | None = None,
    measure_pair: Callable[[], float] | None = None, available: int | None = None, sizes: Sizes | None = None,
) -> Plan:  # fmt: skip
    """The plan in `path` if there is one; else one made now and written there.

    Given `steps` win over the budget. `measure(threads)` returns seconds of a plain step, `measure_rest(threads, plain)` what
    rarer parts add to it in the mean, asked for the fastest threads alone, `measure_pair()` seconds per labeled render,
    `spent()` the seconds of the budget that are gone by then; `available` threads may be used. Raises SettingError when neither
    is given or the budget is used up before training starts.
    """
    if path.exists():
        return Plan.read(path)
    threads, sizes = available or cores(), sizes or Sizes()
    if steps is not None:
        plan = Plan(
            steps=steps, pairs=pairs, threads=threads, seconds_per_step=0.0, seconds_for_steps=0.0, why="steps were given"
        )
    elif budget_s is None:
        raise SettingError("training needs --budget (such as 10m) or --set finetune.steps=N.")
    else:
        (plain, fewer), share = fastest(threads, measure), Share()
        pace = plain + (measure_rest(fewer, plain) if measure_rest else 0.0), fewer
        if measure_pair is not None:
            pairs = min(pairs, max(share.least_pairs, int(share.labeling_s(budget_s) / measure_pair())))
        plan = _from_budget(pairs, pace, budget_s, spent(), share)
    why = f"{plan.why}; {sizes.memory_why}" if sizes.memory_why else plan.why
    plan = replace(plan, sizes=sizes, why=why)
    write_json(path, asdict(plan))
    return plan


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fastest(cores: int, measure: Callable[[int], float]) -> tuple[float, int]:
    """Seconds a step and the thread count that needs least: on a busy machine fewer threads wait less for each other."""
    return min((measure(threads), threads) for threads in sorted({1, max(cores // 2, 1), cores}))


def _from_budget(pairs: int, pace: tuple[float, int], budget_s: float, spent_s: float, share: Share) -> Plan:
    per_step, threads = pace
    labeling = share.labeling_s(budget_s)
    left = budget_s - spent_s - share.fixed_s - labeling
    seconds = left * share.safety
    if seconds < 10 * per_step:
        raise SettingError(
            f"the budget of {budget_s:.0f} s leaves {max(seconds, 0):.0f} s for training after {spent_s:.0f} s of capture; "
            f"give at least {budget_s + 60 - min(seconds, 0):.0f}s."
        )
    why = f"{seconds:.0f} s for steps of {per_step:.3f} s, of a budget of {budget_s:.0f} s of which {spent_s:.0f} s were spent"
    return Plan(
        steps=int(seconds / per_step), pairs=pairs, threads=threads, seconds_per_step=per_step, seconds_for_steps=seconds,
        why=why, deadline_s=left, reserve_s=share.fixed_s + labeling,
    )  # fmt: skip


def median_seconds(run: Callable[[int], object], count: int = 5, warmup: int = 2) -> float:
    """Median wall seconds of `run(number)`; the first calls, which allocate, do not count."""
    seconds = []
    for number in range(warmup + count):
        start = time.perf_counter()
        run(number)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[warmup:])[count // 2]
