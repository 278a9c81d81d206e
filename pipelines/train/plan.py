"""A time budget becomes numbers once: `plan.json` holds them, and a resumed run obeys the same plan."""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.errors import SettingError
from pipelines.files import read_json, write_json


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


@dataclass(frozen=True, kw_only=True)
class Share:
    """How a budget is divided."""

    labeling: float = 0.12
    """Part of the budget for pairs and the expression map, at most `labeling_cap_s`."""
    labeling_cap_s: float = 40.0
    fixed_s: float = 20.0
    """Loading, evaluation, report."""
    safety: float = 0.9
    """Machines slow down; plan with this part of what remains."""


def make_plan(
    path: Path, *, steps: int | None, pairs: int, budget_s: float | None, spent_s: float, measure: Callable[[int], float],
    share: Share | None = None,
) -> Plan:  # fmt: skip
    """The plan in `path` if there is one; else one made now and written there.

    Given `steps` win over the budget. `measure(threads)` returns seconds per step. Raises SettingError when neither is given or
    the budget is used up before training starts.
    """
    if path.exists():
        return Plan(**read_json(path))
    if steps is not None:
        plan = Plan(
            steps=steps, pairs=pairs, threads=cores(), seconds_per_step=0.0, seconds_for_steps=0.0, why="steps were given"
        )
    elif budget_s is None:
        raise SettingError("training needs --budget (such as 10m) or --set finetune.steps=N.")
    else:
        plan = _from_budget(pairs, fastest(cores(), measure), budget_s, spent_s, share or Share())
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
    left = budget_s - spent_s - share.fixed_s
    labeling = min(share.labeling * budget_s, share.labeling_cap_s)
    seconds = (left - labeling) * share.safety
    if seconds < 10 * per_step:
        raise SettingError(
            f"the budget of {budget_s:.0f} s leaves {max(seconds, 0):.0f} s for training after {spent_s:.0f} s of capture; "
            f"give at least {budget_s + 60 - min(seconds, 0):.0f}s."
        )
    why = f"{seconds:.0f} s for steps of {per_step:.3f} s, of a budget of {budget_s:.0f} s of which {spent_s:.0f} s were spent"
    return Plan(
        steps=int(seconds / per_step),
        pairs=pairs,
        threads=threads,
        seconds_per_step=per_step,
        seconds_for_steps=seconds,
        why=why,
    )


def median_seconds(run: Callable[[int], object], count: int = 5, warmup: int = 2) -> float:
    """Median wall seconds of `run(number)`; the first calls, which allocate, do not count."""
    seconds = []
    for number in range(warmup + count):
        start = time.perf_counter()
        run(number)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[warmup:])[count // 2]
