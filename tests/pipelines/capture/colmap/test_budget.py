"""COLMAP's process: its computing time, its end with the run that started it, and that two never work in one folder."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.capture.colmap.budget import SPENT

START = "import os, sys, time; from pathlib import Path; from pipelines.capture.colmap.budget import Budget, alone; "


def ended(words: str) -> int:
    return subprocess.run([sys.executable, "-c", START + words], timeout=600).returncode


def test_only_computing_counts() -> None:
    assert ended("Budget().allow(0.3); time.sleep(2)") == 0
    assert ended("Budget().allow(0.3); end = time.time() + 30\nwhile time.time() < end: pass") == SPENT


@pytest.mark.skipif(os.name == "nt", reason="Windows does not tell")
def test_it_goes_with_the_process_that_started_it(tmp_path: Path) -> None:
    mark, child = tmp_path / "pid", tmp_path / "child.py"
    begin = START + "from pipelines.core.children import go_with; go_with(os.getppid()); "
    child.write_text(begin + f"Path({str(mark)!r}).write_text(str(os.getpid())); time.sleep(600)")
    parent = "import os, subprocess, sys, time; subprocess.Popen([sys.executable, sys.argv[1]]); time.sleep(600)"
    run = subprocess.Popen([sys.executable, "-c", parent, str(child)], env={**os.environ, "PYTHONPATH": os.getcwd()})
    wait_for(mark.exists)
    run.kill()
    run.wait()
    number = int(wait_for(mark.read_text))
    wait_for(lambda: not alive(number))


def test_the_next_one_waits(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    inside = f"alone(Path({str(tmp_path)!r}))"
    mark = tmp_path / "first"
    first = subprocess.Popen([sys.executable, "-c", START + f"lock = {inside}; lock.__enter__(); "
                              f"Path({str(mark)!r}).touch(); sys.stdin.read()"], stdin=subprocess.PIPE)  # fmt: skip
    wait_for(mark.exists)
    second = subprocess.Popen([sys.executable, "-c", START + f"lock = {inside}; lock.__enter__()"])
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=2)
    first.communicate(timeout=300)
    assert second.wait(timeout=300) == 0


def alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{number}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_for(done):
    """What `done` says as soon as it says something, within five minutes."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if found := done():
            return found
        time.sleep(0.05)
    raise TimeoutError
