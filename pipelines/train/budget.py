"""What a training was asked becomes numbers once: `plan.json` holds them, and a resumed run obeys the same plan.

A time budget becomes steps and threads, a limit of memory becomes micro-batches. Only what happens on the way changes it:
where memory does not suffice after all micro-batches become smaller, and a machine that became slower ends the steps early.
"""

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from pipelines.core.errors import SettingError
from pipelines.core.files import write_json
from pipelines.core.records import read_record
from pipelines.train.settings import FinetuneSettings, TrainSettings

PLAN = "plan.json"
LABELING, LABELING_CAP_S = 0.12, 40.0
"""Part of a budget for pairs and the expression map, and the most seconds that it may be."""
LEAST_PAIRS = 150
"""However long a pair takes."""
FIXED_S = 30.0
"""Loading, filmed frames and their renders, evaluation, report."""
LEAST_STEPS = 24
"""However slow the machine is: they show the person, and the filmed frames in the avatar give the detail."""
LEAST_STEP_S = 0.2
"""Of a machine that is fast: in a budget that even its least steps exceed nothing is begun."""
SAFETY = 0.9
"""Machines slow down: this part of what remains is planned with."""

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a step computes, and how much of it at once."""

    batch: Count = 0
    """Images a step learns from."""
    micro_batch: Annotated[int, Meta(ge=1)] | None = None
    """Of these at once; none: all."""
    memory: Literal["fast", "light"] = "fast"
    image_size: Count = 0
    raw_size: Count = 0
    """Rays along a side."""
    peak_gb: Annotated[float, Meta(ge=0)] = 0.0
    """Measured of one step; 0 where no limit was given."""
    memory_why: str = ""

    def applied(self, settings: FinetuneSettings) -> FinetuneSettings:
        return replace(settings, micro_batch=self.micro_batch or settings.micro_batch, memory=self.memory)


@dataclass(frozen=True, kw_only=True)
class PlanRecord:
    """The file plan.json."""

    steps: Count
    """Optimizer steps of the appearance model."""
    pairs: Count
    """Latents rendered and labeled for the expression map."""
    threads: Annotated[int, Meta(ge=1)]
    """CPU threads of every tensor operation; part of what makes a rerun bit-identical."""
    seconds_per_step: Seconds
    """Measured when the plan was made; 0 when the steps were given."""
    seconds_for_steps: Seconds
    why: str
    deadline_s: float = 0.0
    """Seconds after which the steps end early, and what follows still fits the budget; 0: never."""
    reserve_s: Seconds = 0.0
    """Seconds for what follows the steps."""
    sizes: Sizes = Sizes()

    @classmethod
    def load(cls, folder: Path) -> "PlanRecord":
        return read_record(folder / PLAN, cls)

    def save(self, folder: Path) -> None:
        write_json(folder / PLAN, asdict(self))

    def shrunk(self, settings: FinetuneSettings, why: str) -> "PlanRecord":
        """With the micro-batch and memory of `settings`, because more did not fit."""
        sizes = replace(self.sizes, micro_batch=settings.micro_batch, memory=settings.memory)
        return replace(self, sizes=sizes, why=f"{self.why}; {why}")

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
class Stopwatch:
    """Measures on this machine what a plan has to know, in seconds."""

    step: Callable[[int], float]
    """Of a plain step by a number of threads."""
    rare_parts: Callable[[int, float], float]
    """What rarer parts add to it in the mean, by the threads and the seconds of a plain step; asked for the fastest alone."""
    pair: Callable[[], float]
    """Of a labeled render."""


def make_plan(
    settings: TrainSettings, *, threads: int, spent: Callable[[], float], stopwatch: Stopwatch, sizes: Sizes | None = None
) -> PlanRecord:
    """Steps, pairs and threads; given `finetune.steps` win over the budget.

    `threads` may be used, `spent()` are the seconds of the budget that are gone when all is measured. SettingError when neither
    steps nor a budget are given, or when the budget is used up before the training starts.
    """
    sizes, steps, pairs = sizes or Sizes(), settings.finetune.steps, settings.pairs.count
    if steps is not None:
        plan = PlanRecord(
            steps=steps, pairs=pairs, threads=threads, seconds_per_step=0.0, seconds_for_steps=0.0, why="steps were given"
        )
    elif settings.budget_s is None:
        raise SettingError("training needs --budget (such as 10m) or --set finetune.steps=N.")
    else:
        plain_s, fastest_threads = fastest(threads, stopwatch.step)
        step_s = plain_s + stopwatch.rare_parts(fastest_threads, plain_s)
        pairs = min(pairs, max(LEAST_PAIRS, int(labeling_s(settings.budget_s) / stopwatch.pair())))
        plan = _from_budget(settings.budget_s, spent(), step_s, pairs=pairs, threads=fastest_threads)
    why = f"{plan.why}; {sizes.memory_why}" if sizes.memory_why else plan.why
    return replace(plan, sizes=sizes, why=why)


def labeling_s(budget_s: float) -> float:
    """Seconds of a budget for pairs and the expression map."""
    return min(LABELING * budget_s, LABELING_CAP_S)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fastest(cores: int, measure: Callable[[int], float]) -> tuple[float, int]:
    """Seconds a step and the thread count that needs least: on a busy machine fewer threads wait less for each other."""
    return min((measure(threads), threads) for threads in sorted({1, max(cores // 2, 1), cores}))


def _from_budget(budget_s: float, spent_s: float, step_s: float, *, pairs: int, threads: int) -> PlanRecord:
    """As many steps of `step_s` seconds as fit, at least LEAST_STEPS; SettingError for a budget that no training fits in."""
    rest_s = FIXED_S + labeling_s(budget_s)
    left_s = budget_s - spent_s - rest_s
    seconds = max(left_s, 0.0) * SAFETY
    if budget_s < rest_s + LEAST_STEPS * LEAST_STEP_S:
        raise SettingError(f"a budget of {budget_s:.0f} s is too short for a training; give at least {2 * rest_s:.0f}s.")
    said = f"of a budget of {budget_s:.0f} s of which {spent_s:.0f} s were spent"
    if seconds < LEAST_STEPS * step_s:
        return PlanRecord(
            steps=LEAST_STEPS, pairs=pairs, threads=threads, seconds_per_step=step_s, seconds_for_steps=LEAST_STEPS * step_s,
            why=f"the least; {seconds:.0f} s are left {said}, and a step takes {step_s:.3f} s: it will take longer",
        )  # fmt: skip
    return PlanRecord(
        steps=int(seconds / step_s), pairs=pairs, threads=threads, seconds_per_step=step_s, seconds_for_steps=seconds,
        why=f"{seconds:.0f} s for steps of {step_s:.3f} s, {said}", deadline_s=left_s, reserve_s=rest_s,
    )  # fmt: skip


def median_seconds(run: Callable[[int], object], count: int = 5, warmup: int = 2) -> float:
    """Median wall seconds of `run(number)`; the first calls, which allocate, do not count."""
    seconds = []
    for number in range(warmup + count):
        start = time.perf_counter()
        run(number)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds[warmup:])[count // 2]
