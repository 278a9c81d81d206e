"""A budget becomes numbers once."""

import json
from collections import deque
from pathlib import Path

import pytest

from pipelines.core.errors import SettingError
from pipelines.train.budget import Plan, Sizes, fastest, make_plan
from pipelines.train.settings import FinetuneSettings


def never(threads: int) -> float:
    raise AssertionError("measured although the plan exists or the steps are given")


def test_given_steps_need_no_measuring(tmp_path: Path) -> None:
    plan = make_plan(tmp_path / "plan.json", steps=7, pairs=3, budget_s=None, spent=lambda: 0.0, measure=never)
    assert (plan.steps, plan.pairs) == (7, 3)


def test_budget_is_measured_once_and_obeyed(tmp_path: Path) -> None:
    plan = make_plan(
        tmp_path / "plan.json", steps=None, pairs=400, budget_s=600, spent=lambda: 100.0, measure=lambda threads: 0.2
    )
    assert plan.steps == int((600 - 100 - 20 - 40) * 0.9 / 0.2) == 1980
    again = make_plan(tmp_path / "plan.json", steps=None, pairs=400, budget_s=600, spent=lambda: 300.0, measure=never)
    assert again == plan


@pytest.mark.parametrize(("each", "pairs"), [(0.05, 400), (0.2, 200), (1.0, 150)])
def test_labeling_takes_its_share_and_no_more_pairs_than_fit(tmp_path: Path, each: float, pairs: int) -> None:
    plan = make_plan(
        tmp_path / "plan.json", steps=None, pairs=400, budget_s=600, spent=lambda: 100.0, measure=lambda threads: 0.2,
        measure_pair=lambda: each,
    )  # fmt: skip
    assert plan.pairs == pairs and plan.steps == 1980


def test_spent_budget_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="give at least"):
        make_plan(tmp_path / "plan.json", steps=None, pairs=400, budget_s=60, spent=lambda: 50.0, measure=lambda threads: 0.2)
    assert not (tmp_path / "plan.json").exists()
    with pytest.raises(SettingError, match="--budget"):
        make_plan(tmp_path / "plan.json", steps=None, pairs=400, budget_s=None, spent=lambda: 0.0, measure=never)


def test_threads_are_measured_not_assumed() -> None:
    assert fastest(8, lambda threads: {1: 0.5, 4: 0.2, 8: 0.3}[threads]) == (0.2, 4)
    assert fastest(2, lambda threads: 0.4 / threads) == (0.2, 2)
    assert fastest(1, lambda threads: 0.4) == (0.4, 1)


def planned(tmp_path: Path, pace: float = 0.2) -> Plan:
    return make_plan(tmp_path / "p.json", steps=None, pairs=1, budget_s=600, spent=lambda: 60.0, measure=lambda threads: pace)


@pytest.mark.parametrize("slower", [0.9, 1.0, 1.05, 1.3, 2.0, 4.0])
@pytest.mark.parametrize("since", [0.0, 0.4, 0.8])
def test_a_slower_machine_exceeds_the_budget_by_about_a_tenth_at_most(tmp_path: Path, slower: float, since: float) -> None:
    """Everything takes `slower` times as long after the part `since` of the planned steps."""
    plan = planned(tmp_path)
    spent, steps = 0.0, 0
    recent: deque[float] = deque([0.2], maxlen=40)
    while steps < plan.steps and not plan.late(spent, sum(recent) / len(recent)):
        steps += 1
        recent.append(0.2 * (slower if steps > since * plan.steps else 1.0))
        spent += recent[-1]
    assert 60 + spent + plan.reserve_s * slower <= 1.12 * 600
    if slower <= 1.05:
        assert steps == plan.steps
    if slower >= 2 and since <= 0.4:
        assert steps < plan.steps


def test_given_steps_are_never_late(tmp_path: Path) -> None:
    plan = make_plan(tmp_path / "p.json", steps=7, pairs=1, budget_s=10, spent=lambda: 0.0, measure=never)
    assert not plan.late(1e9, 9.0)


def test_the_plan_holds_sizes_and_why(tmp_path: Path) -> None:
    sizes = Sizes(batch=4, micro_batch=2, memory="light", peak_gb=1.5, memory_why="2 images at once")
    plan = make_plan(
        tmp_path / "p.json", steps=7, pairs=1, budget_s=None, spent=lambda: 0.0, measure=never, available=3, sizes=sizes
    )
    assert plan.why == "steps were given; 2 images at once" and plan.threads == 3
    assert Plan.read(tmp_path / "p.json") == plan
    applied = plan.sizes.applied(FinetuneSettings(batch=4))
    assert (applied.micro_batch, applied.memory, applied.batch) == (2, "light", 4)


def test_plans_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """A training that began with one goes on."""
    known = {"steps": 7, "pairs": 3, "threads": 2, "seconds_per_step": 0.0, "seconds_for_steps": 0.0, "why": "steps were given"}
    (tmp_path / "p.json").write_text(json.dumps(known))
    plan = Plan.read(tmp_path / "p.json")
    assert plan.steps == 7 and plan.sizes.applied(FinetuneSettings()) == FinetuneSettings()


def test_what_comes_rarely_is_measured_with_the_fastest_threads_alone(tmp_path: Path) -> None:
    asked: list[tuple[int, float]] = []

    def rest(threads: int, plain: float) -> float:
        asked.append((threads, plain))
        return 0.1

    plan = make_plan(
        tmp_path / "p.json", steps=None, pairs=1, budget_s=600, spent=lambda: 0.0, measure=lambda threads: 0.4 / threads,
        measure_rest=rest, available=4,
    )  # fmt: skip
    assert asked == [(4, 0.1)] and plan.threads == 4 and plan.seconds_per_step == pytest.approx(0.2)
