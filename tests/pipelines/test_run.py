"""The order and the arithmetic of the whole way, with stages that only note what they were given."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import run as place
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.stage import Report, Silent
from pipelines.demo import demo_clips
from pipelines.media.encoder import write_video
from pipelines.media.video import probe
from pipelines.run import RunSettings, check_driver, run


class Footage:
    frames = 300


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Arguments of each stage by its name; capture took 40 s when it ran."""
    noted: dict[str, dict[str, Any]] = {}

    def stage(name: str, out_at: int) -> Any:
        def play(*words: Any, **options: Any) -> Report:
            noted[name] = {"words": words, **options}
            seconds = {"frames": 15.0, "cameras": 25.0} if name == "capture" else {}
            return Report(stage=name, out=words[out_at], fingerprint="f", status="done", seconds=seconds)

        return play

    for name, out_at in (("capture", 1), ("train", 1), ("drive", 2)):
        monkeypatch.setattr(place, name, stage(name, out_at))
    monkeypatch.setattr(place, "probe", lambda path: Footage())
    monkeypatch.setattr(place, "check_driver", lambda path: Footage.frames)
    return noted


def settings(budget_s: float | None) -> RunSettings:
    base = RunSettings()
    return replace(base, train=replace(base.train, budget_s=budget_s))


def go(budget_s: float | None) -> tuple[Report, Report, Report]:
    return run(Path("anna.mp4"), Path("films/ref.mov"), Path("out"), settings(budget_s), progress=Silent(), device="cpu")


def test_results_are_named_after_their_footage(calls: dict[str, dict[str, Any]]) -> None:
    assert [report.out for report in go(600.0)] == [Path("out/anna.capture"), Path("out/anna.avatar"), Path("out/ref.mp4")]
    assert calls["train"]["words"][0] == Path("out/anna.capture")
    assert calls["drive"]["words"][:2] == (Path("out/anna.avatar"), Path("films/ref.mov"))


@pytest.mark.parametrize(("budget_s", "spent_s"), [(600.0, 40 + 10 + 60), (120.0, 40 + 30), (None, 40)])
def test_training_gets_what_capture_and_driving_leave(
    calls: dict[str, dict[str, Any]], budget_s: float | None, spent_s: float
) -> None:
    go(budget_s)
    assert calls["train"]["spent_s"] == pytest.approx(spent_s)
    assert calls["train"]["words"][2].budget_s == budget_s


@pytest.mark.parametrize(("budget_s", "limit_s"), [(600.0, 240.0), (120.0, 60.0), (None, math.inf)])
def test_capture_ends_within_its_share(calls: dict[str, dict[str, Any]], budget_s: float | None, limit_s: float) -> None:
    go(budget_s)
    assert calls["capture"]["limit_s"] == limit_s


def test_given_steps_have_no_budget(calls: dict[str, dict[str, Any]]) -> None:
    base = settings(10.0)
    steps = replace(base, train=replace(base.train, finetune=replace(base.train.finetune, steps=7)))
    run(Path("anna.mp4"), Path("ref.mov"), Path("out"), steps, progress=Silent(), device="cpu")
    assert calls["capture"]["limit_s"] == math.inf and calls["train"]["spent_s"] == 40


def test_a_slow_capture_does_not_end_in_a_refusal(calls: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Report(stage="capture", out=Path("anna.capture"), fingerprint="f", status="done", seconds={"mattes": 590.0})
    warned: list[str] = []
    monkeypatch.setattr(place, "capture", lambda *words, **options: slow)
    monkeypatch.setattr(Silent, "warn", lambda self, text: warned.append(text))
    go(600.0)
    assert calls["train"]["spent_s"] == 450.0
    assert warned == ["capture took most of the budget of 600 s on this machine; the whole will take longer."]


def test_a_budget_too_short_for_an_avatar_is_said_before_any_work(calls: dict[str, dict[str, Any]]) -> None:
    with pytest.raises(SettingError, match="budget of 60 s is too short .* give --budget"):
        go(60.0)
    assert not calls


def test_a_driver_without_a_face_is_refused_before_the_long_work(tmp_path: Path) -> None:
    write_video(tmp_path / "gray.mp4", (np.full((64, 64, 3), 90, np.uint8) for _ in range(30)), 30)
    with pytest.raises(UnusableMaterial, match="no face was found in the driver gray.mp4"):
        run(demo_clips().capture, tmp_path / "gray.mp4", tmp_path / "out", settings(600.0), progress=Silent(), device="cpu")
    assert not (tmp_path / "out").exists()


def test_the_packaged_driver_has_a_face() -> None:
    assert check_driver(demo_clips().driver) == probe(demo_clips().driver).frames
