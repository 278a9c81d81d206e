"""The order and the arithmetic of the whole way, with stages that only note what they were given."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import run as place
from pipelines.core.errors import UnusableMaterial
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


@pytest.mark.parametrize(("budget_s", "spent_s"), [(600.0, 40 + 10 + 24), (120.0, 40 + 18), (None, 40)])
def test_training_gets_what_capture_and_driving_leave(
    calls: dict[str, dict[str, Any]], budget_s: float | None, spent_s: float
) -> None:
    go(budget_s)
    assert calls["train"]["spent_s"] == pytest.approx(spent_s)
    assert calls["train"]["words"][2].budget_s == budget_s


def test_a_driver_without_a_face_is_refused_before_the_long_work(tmp_path: Path) -> None:
    write_video(tmp_path / "gray.mp4", (np.full((64, 64, 3), 90, np.uint8) for _ in range(30)), 30)
    with pytest.raises(UnusableMaterial, match="no face was found in the driver gray.mp4"):
        run(demo_clips().capture, tmp_path / "gray.mp4", tmp_path / "out", settings(600.0), progress=Silent(), device="cpu")
    assert not (tmp_path / "out").exists()


def test_the_packaged_driver_has_a_face() -> None:
    assert check_driver(demo_clips().driver) == probe(demo_clips().driver).frames
