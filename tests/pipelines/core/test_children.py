"""Programs that this house starts: none of the working directory, and none that stays behind."""

import os
import re
import sys
from pathlib import Path

import pytest

from pipelines.core import children
from pipelines.core.children import environment, interpreter, run, safe_workers
from pipelines.core.errors import MissingTool
from tests.material import ROOT


def test_only_one_module_starts_programs() -> None:
    starts = re.compile(
        r"^\s*(import|from) (subprocess|pty|popen2)\b|os\.(system|popen|exec|spawn|posix_spawn|fork)|import subprocess"
    )
    files = [path for package in ("avatarcli", "pipelines", "models") for path in (ROOT / package).rglob("*.py")]
    found = [path.relative_to(ROOT) for path in files if any(starts.search(line) for line in path.read_text().splitlines())]
    assert found == [Path("pipelines/core/children.py")]


def test_pools_of_processes_are_begun_safely() -> None:
    for package in ("avatarcli", "pipelines", "models"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            assert "ProcessPoolExecutor(" not in text or "safe_workers()" in text, path


def test_an_interpreter_runs_no_module_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}.{os.pathsep}{tmp_path / 'kept'}")
    for name in ("random", "pipelines"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)")
    code = "import random, pipelines.core.children, sys; print(pipelines.__file__); print(sys.path)"
    done = run([*interpreter(), "-c", code], env=environment())
    assert done.returncode == 0, done.stderr
    assert str(ROOT / "pipelines") in done.stdout.decode() and str(tmp_path / "kept") in done.stdout.decode()
    assert environment()["PYTHONPATH"] == os.pathsep.join([str(ROOT), str(tmp_path / "kept")])


def test_workers_run_no_module_of_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "signal.py").write_text("raise SystemExit(7)")
    (tmp_path / "multiprocessing.py").write_text("raise SystemExit(7)")
    code = (
        "import multiprocessing, os; from pipelines.core.children import safe_workers\n"
        "if __name__ == '__main__':\n"
        " with safe_workers(), multiprocessing.get_context('spawn').Pool(1) as pool: print(pool.map(abs, [-3]))"
    )
    done = run([*interpreter(), "-c", code], env=environment() | {"PYTHONSAFEPATH": ""}, timeout_s=100)
    assert done.stdout.strip() == b"[3]", done.stderr
    with safe_workers():
        assert os.environ["PYTHONSAFEPATH"] == "1"


def test_programs_are_not_looked_for_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ffmpeg").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{os.pathsep}.")
    with pytest.raises(MissingTool, match="ffmpeg is not on this machine"):
        run(["ffmpeg"])
    assert interpreter()[0] == os.path.abspath(sys.executable) and interpreter()[1] == "-P"


def test_a_number_of_no_parent_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(children.PARENT, "x")
    children.go_with_parent()
    assert children.PARENT not in os.environ
