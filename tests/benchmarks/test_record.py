"""Results as data: what a run leaves, what is refused, and that the page is made of the records."""

import argparse
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from benchmarks import record
from pipelines.core.errors import SettingError
from pipelines.core.files import read_json
from tests.material import ROOT

FIGURES = {"demo": {"rotation_deg": {"median": 0.0123456}}, "note": "ok"}
SCRIPTS = sorted(path for path in (ROOT / "benchmarks").glob("*.py") if "__main__" in path.read_text())


def run_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: str = "", draft: bool = False) -> record.Run:
    monkeypatch.setattr(record, "git", lambda *words: changed if words[0] == "status" else "abc1234")
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(record, "HOME", tmp_path)
    return record.Run.of("cameras", argparse.Namespace(draft=draft, note="idle"))


def test_a_run_leaves_its_figures_commit_machine_and_inputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"film")
    run = run_of(monkeypatch, tmp_path)
    path = run.finish(FIGURES, headline={"degrees": "demo.rotation_deg.median"}, inputs=[tmp_path / "clip.mp4"])
    assert path is not None and path.parent.name == "cameras" and path.name.endswith("-abc1234.json")
    found = read_json(path)
    assert found["figures"] == FIGURES and found["commit"] == "abc1234" and found["note"] == "idle"
    assert found["inputs"] == {"clip.mp4": sha256(b"film").hexdigest()}
    assert found["machine"]["cores"] >= 1 and found["wall_s"] >= 0 and found["command"].startswith("python ")
    assert [one["commit"] for one in record.records()] == ["abc1234"]


def test_a_folder_counts_by_the_record_in_it(tmp_path: Path) -> None:
    (tmp_path / "stage.json").write_text("{}")
    assert record.content_of(tmp_path) == tmp_path / "stage.json"


def test_changes_that_are_not_committed_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^benchmarks/x.py is not committed"):
        run_of(monkeypatch, tmp_path, changed=" M benchmarks/x.py\n?? y")


def test_a_draft_is_printed_and_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    run = run_of(monkeypatch, tmp_path, changed=" M benchmarks/x.py", draft=True)
    assert run.finish(FIGURES, headline={"note": "note"}) is None
    assert capsys.readouterr().out == "demo.rotation_deg.median  0.01235\nnote  ok\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("headline", [{}, {"mean": "demo.rotation_deg.mean"}, {str(n): "note" for n in range(7)}])
def test_a_headline_names_one_to_six_figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, headline: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="headline"):
        run_of(monkeypatch, tmp_path).finish(FIGURES, headline=headline)


def test_the_page_shows_the_newest_of_each_benchmark_and_processor() -> None:
    one = {"benchmark": "eg3d", "date": "2026-11-20", "commit": "aaaaaaa", "machine": {"cpu": "C", "cores": 2, "gpu": None},
           "figures": {"g_step": 2.0}, "headline": {"G step": "g_step"}}  # fmt: skip
    newer = one | {"date": "2026-11-21", "commit": "bbbbbbb", "figures": {"g_step": 1.0}}
    gpu = one | {"machine": {"cpu": "C", "cores": 16, "gpu": "H200"}}
    page = record.page([newer, one, gpu])
    assert "| G step 1 | 2026-11-21 | 2 cores, C |" in page
    assert "| G step 2 | 2026-11-20 | H200 |" in page
    assert page.count("| [eg3d](") == 2 and "20261120-bbbbbbb" not in page


def test_the_page_is_up_to_date_and_short() -> None:
    assert record.PAGE.read_text() == record.page(record.records()), "run: python benchmarks/record.py"
    assert len(record.PAGE.read_bytes()) <= 6000


@pytest.mark.parametrize("path", sorted(record.RESULTS.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_kept_record_is_whole_and_lies_where_it_belongs(path: Path) -> None:
    found = read_json(path)
    record.check(found)
    assert path.parent.name == found["benchmark"] and path.stem == f"{found['date'].replace('-', '')}-{found['commit']}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_benchmark_writes_a_record(script: Path) -> None:
    text = script.read_text()
    assert script.name == "record.py" or ("Run.of(" in text and ".finish(" in text and "options(parser)" in text)
