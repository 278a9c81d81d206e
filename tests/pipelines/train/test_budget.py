"""A budget becomes numbers once."""

from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import write_json
from pipelines.train.budget import LEAST_STEPS, PlanRecord, Sizes, Stopwatch, fastest, make_plan
from pipelines.train.planning import plan_training
from pipelines.train.settings import FinetuneSettings, PairSettings, TrainSettings
from pipelines.train.start_state import StartState
from tests.training import inputs_of
from tests.worlds import write_solid_capture, write_unit_prior


def never(*asked: float) -> float:
    raise AssertionError("measured although the steps are given")


NEVER = Stopwatch(step=never, rare_parts=never, pair=never)


def takes(step: float, pair: float = 0.01) -> Stopwatch:
    """Seconds of a step by any number of threads, and of a pair."""
    return Stopwatch(step=lambda threads: step, rare_parts=lambda threads, plain_s: 0.0, pair=lambda: pair)


def made(stopwatch: Stopwatch, spent: float = 0.0, threads: int = 2, sizes: Sizes | None = None, **asked: Any) -> PlanRecord:
    """Of settings with the given budget_s, steps and pairs."""
    settings = TrainSettings(
        budget_s=asked.get("budget_s"), finetune=FinetuneSettings(steps=asked.get("steps")),
        pairs=PairSettings(count=asked.get("pairs", 400)),
    )  # fmt: skip
    return make_plan(settings, threads=threads, spent=lambda: spent, stopwatch=stopwatch, sizes=sizes)


def test_given_steps_need_no_measuring() -> None:
    plan = made(NEVER, steps=7, pairs=3)
    assert (plan.steps, plan.pairs) == (7, 3)


def test_a_budget_becomes_steps() -> None:
    assert made(takes(0.2), spent=100.0, budget_s=600).steps == int((600 - 100 - 30 - 40) * 0.9 / 0.2) == 1935


def test_a_plan_is_made_once_and_obeyed(tmp_path: Path) -> None:
    settings = TrainSettings(prior=str(write_unit_prior(tmp_path / "prior")), finetune=FinetuneSettings(steps=7))
    inputs = inputs_of(write_solid_capture(tmp_path / "solid.capture"), tmp_path / "work", settings)
    plan = plan_training(inputs, StartState(), lambda: 0.0)
    assert plan == PlanRecord.load(inputs.folder) and plan.steps == 7 and plan.threads == 1
    replace(plan, steps=5).save(inputs.folder)
    assert plan_training(inputs, StartState(), never).steps == 5


@pytest.mark.parametrize(("each", "pairs"), [(0.05, 400), (0.2, 200), (1.0, 150)])
def test_labeling_takes_its_share_and_no_more_pairs_than_fit(each: float, pairs: int) -> None:
    plan = made(takes(0.2, pair=each), spent=100.0, budget_s=600)
    assert plan.pairs == pairs and plan.steps == 1935


def test_spent_budget_is_a_sentence() -> None:
    with pytest.raises(SettingError, match="give at least"):
        made(takes(0.2), budget_s=30)
    with pytest.raises(SettingError, match="--budget"):
        made(NEVER)


def test_a_slow_machine_makes_a_few_steps_all_the_same_and_says_so() -> None:
    plan = made(takes(4.0), spent=50.0, budget_s=120)
    assert plan.steps == LEAST_STEPS and "it will take longer" in plan.why and not plan.late(1e9, 9.0)
    assert made(takes(0.2), spent=500.0, budget_s=120).steps == LEAST_STEPS


def test_threads_are_measured_not_assumed() -> None:
    assert fastest(8, lambda threads: {1: 0.5, 4: 0.2, 8: 0.3}[threads]) == (0.2, 4)
    assert fastest(2, lambda threads: 0.4 / threads) == (0.2, 2)
    assert fastest(1, lambda threads: 0.4) == (0.4, 1)


@pytest.mark.parametrize("slower", [0.9, 1.0, 1.05, 1.3, 2.0, 4.0])
@pytest.mark.parametrize("since", [0.0, 0.4, 0.8])
def test_a_slower_machine_exceeds_the_budget_by_about_a_tenth_at_most(slower: float, since: float) -> None:
    """Everything takes `slower` times as long after the part `since` of the planned steps."""
    plan = made(takes(0.2), spent=60.0, budget_s=600)
    spent, steps = 0.0, 0
    recent: deque[float] = deque([0.2], maxlen=40)
    while steps < plan.steps and not plan.late(spent, sum(recent) / len(recent)):
        steps += 1
        recent.append(0.2 * (slower if steps > since * plan.steps else 1.0))
        spent += recent[-1]
    assert 60 + spent + plan.reserve_s * slower <= (1.12 if slower < 4 else 1.17) * 600
    if slower <= 1.05:
        assert steps == plan.steps
    if slower >= 2 and since <= 0.4:
        assert steps < plan.steps


def test_given_steps_are_never_late() -> None:
    assert not made(NEVER, steps=7, budget_s=10).late(1e9, 9.0)


def test_the_plan_holds_sizes_and_why(tmp_path: Path) -> None:
    sizes = Sizes(batch=4, micro_batch=2, memory="light", peak_gb=1.5, memory_why="2 images at once")
    plan = made(NEVER, steps=7, threads=3, sizes=sizes)
    assert plan.why == "steps were given; 2 images at once" and plan.threads == 3
    plan.save(tmp_path)
    assert PlanRecord.load(tmp_path) == plan
    applied = plan.sizes.applied(FinetuneSettings(batch=4))
    assert (applied.micro_batch, applied.memory, applied.batch) == (2, "light", 4)
    smaller = plan.shrunk(replace(applied, micro_batch=1), "out of memory")
    assert smaller.sizes == replace(sizes, micro_batch=1) and smaller.why.endswith("; out of memory")


def test_plans_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """A training that began with one goes on."""
    known = {"steps": 7, "pairs": 3, "threads": 2, "seconds_per_step": 0.0, "seconds_for_steps": 0.0, "why": "steps were given"}
    write_json(tmp_path / "plan.json", known)
    plan = PlanRecord.load(tmp_path)
    assert plan.steps == 7 and plan.sizes.applied(FinetuneSettings()) == FinetuneSettings()
    for wrong, said in (
        ({"steps": "7"}, "in `steps`"),
        ({"threads": 0}, "`threads`"),
        ({"sizes": {"memory": "none"}}, "memory"),
    ):
        write_json(tmp_path / "plan.json", known | wrong)
        with pytest.raises(UnusableMaterial, match=said):
            PlanRecord.load(tmp_path)


def test_what_comes_rarely_is_measured_with_the_fastest_threads_alone() -> None:
    asked: list[tuple[int, float]] = []

    def rare_parts(threads: int, plain_s: float) -> float:
        asked.append((threads, plain_s))
        return 0.1

    stopwatch = Stopwatch(step=lambda threads: 0.4 / threads, rare_parts=rare_parts, pair=lambda: 1.0)
    plan = made(stopwatch, threads=4, budget_s=600)
    assert asked == [(4, 0.1)] and plan.threads == 4 and plan.seconds_per_step == pytest.approx(0.2)
