"""A budget becomes numbers once."""

from pathlib import Path

import pytest

from pipelines.errors import SettingError
from pipelines.train.plan import fastest, make_plan


def never(threads: int) -> float:
    raise AssertionError("measured although the plan exists or the steps are given")


def test_given_steps_need_no_measuring(tmp_path: Path) -> None:
    plan = make_plan(tmp_path / "plan.json", steps=7, pairs=3, budget_s=None, spent=lambda: 0.0, measure=never)
    assert (plan.steps, plan.pairs) == (7, 3)


def test_budget_is_measured_once_and_obeyed(tmp_path: Path) -> None:
    plan = make_plan(tmp_path / "plan.json", steps=None, pairs=400, budget_s=600, spent=lambda: 100.0, measure=lambda threads: 0.2)
    assert plan.steps == int((600 - 100 - 20 - 40) * 0.9 / 0.2) == 1980
    again = make_plan(tmp_path / "plan.json", steps=None, pairs=400, budget_s=600, spent=lambda: 300.0, measure=never)
    assert again == plan


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
