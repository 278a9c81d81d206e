import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avatarcli.child import arguments, run_in_child
from pipelines.batch import Job
from tests.avatarcli import cli

JOBS = """
[[job]]
name = "anna"
video = "anna.mp4"
drive = "ref.mp4"
[[job]]
name = "crash"
video = "crash.mp4"
drive = "ref.mp4"
[[job]]
name = "film"
video = "film.mp4"
drive = "ref.mp4"
"""
FAKE = """
import json, os, sys, time
words = sys.argv[1:]
name = os.path.basename(words[-1])
if name == "crash.mp4":
    print("Check failed: rows > 0", file=sys.stderr, flush=True)
    os.abort()
if name == "film.mp4":
    print(json.dumps({"status": "failed", "error": "no face in film.mp4.", "exit_code": 4}))
    sys.exit(4)
if os.path.exists(os.environ["SLOW"]):
    sys.path.insert(0, os.environ["PYTHONPATH"].split(os.pathsep)[0])
    from pipelines.core.children import go_with_parent
    go_with_parent()
    open(os.environ["SLOW"], "w").write(str(os.getpid()))
    time.sleep(60)
if name == "mute.mp4":
    sys.exit(0)
out = words[words.index("-o") + 1]
os.makedirs(out, exist_ok=True)
print(json.dumps({"status": "done", "stages": [{"stage": "train", "figures": {"psnr": 24.0}}]}))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a jobs file and an interpreter that plays `avatarcli run`."""
    (tmp_path / "jobs.toml").write_text(JOBS)
    (tmp_path / "fake.py").write_text(FAKE)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift 3\nexec "{sys.executable}" "{tmp_path}/fake.py" "$@"\n')
    python.chmod(0o755)
    return tmp_path


def batch(place: Path, *words: str) -> list[str]:
    return cli.command("batch", place / "jobs.toml", *words, before=f"import sys; sys.executable = {str(place / 'python')!r}")


def environment(place: Path) -> dict[str, str]:
    return cli.environment({"SLOW": str(place / "slow")})


def test_crash_and_failure_are_rows_and_exit_1(place: Path) -> None:
    done = subprocess.run(
        batch(place, "--json", "--retry", "1"), capture_output=True, text=True, env=environment(place), timeout=60
    )
    rows = json.loads(done.stdout)["rows"]
    assert done.returncode == 1
    assert {name: row["state"] for name, row in rows.items()} == {"anna": "done", "crash": "failed", "film": "failed"}
    assert rows["anna"]["figures"] == {"train": {"psnr": 24.0}}
    assert "SIGABRT" in rows["crash"]["error"] and "Check failed: rows > 0" in rows["crash"]["error"]
    assert (rows["crash"]["tries"], rows["film"]["tries"]) == (2, 1)
    assert rows["film"]["error"] == "no face in film.mp4."


def test_people_see_a_table(place: Path) -> None:
    done = subprocess.run(batch(place), capture_output=True, text=True, env=environment(place), timeout=60)
    assert "2 of 3 jobs failed" in done.stdout
    assert "no face in film.mp4." in done.stdout


def test_a_kill_9_is_survived(place: Path) -> None:
    (place / "slow").touch()
    child = subprocess.Popen(batch(place), env=environment(place), stderr=subprocess.DEVNULL, start_new_session=True)
    states = place / "batch.json"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (
        not states.exists() or json.loads(states.read_text())["rows"]["anna"]["state"] != "running"
    ):
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    (place / "slow").unlink()
    done = subprocess.run(batch(place, "--json"), capture_output=True, text=True, env=environment(place), timeout=60)
    assert json.loads(done.stdout)["rows"]["anna"]["state"] == "done"


def test_settings_tables_become_assignments(tmp_path: Path) -> None:
    settings = {"train": {"finetune": {"steps": 9}, "scales": [1, 2]}, "drive": {"smooth": True}}
    job = Job(name="a", video=Path("a.mp4"), drive=Path("b.mp4"), out=tmp_path, budget="5m", settings=settings)
    words = arguments(job)
    assert words[words.index("--budget") + 1] == "5m"
    assert [words[i + 1] for i, word in enumerate(words) if word == "--set"] == [
        "train.finetune.steps=9",
        "train.scales=1,2",
        "drive.smooth=True",
    ]


def test_a_missing_video_is_one_sentence_of_its_row(tmp_path: Path) -> None:
    job = Job(name="a", video=tmp_path / "none.mp4", drive=tmp_path / "none.mp4", out=tmp_path / "out" / "a")
    outcome = run_in_child(job)
    assert outcome.exit_code == 4
    assert "none.mp4" in outcome.error


def test_a_killed_batch_leaves_no_child(place: Path) -> None:
    slow = place / "slow"
    slow.touch()
    child = subprocess.Popen(batch(place), env=environment(place), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not slow.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    run = int(slow.read_text())
    child.kill()
    child.wait()
    while alive(run) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(run)


def alive(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_exit_0_without_a_result_is_a_failure(place: Path) -> None:
    (place / "jobs.toml").write_text(JOBS.replace("anna.mp4", "mute.mp4"))
    done = subprocess.run(batch(place, "--json"), capture_output=True, text=True, env=environment(place), timeout=60)
    row = json.loads(done.stdout)["rows"]["anna"]
    assert row["state"] == "failed" and "no result" in row["error"]


def test_a_foreign_log_stays_as_it_is(place: Path) -> None:
    foreign = place / "thesis.log"
    foreign.write_text("three years of work")
    (place / "out").mkdir()
    (place / "out" / "anna.log").symlink_to(foreign)
    (place / "out" / "film.log").write_text("mine")
    done = subprocess.run(batch(place, "--json"), capture_output=True, text=True, env=environment(place), timeout=60)
    rows = json.loads(done.stdout)["rows"]
    assert foreign.read_text() == "three years of work" and (place / "out" / "film.log").read_text() == "mine"
    assert (
        "anna.log cannot be written" in rows["anna"]["error"] and "film.log was not made by avatarcli" in rows["film"]["error"]
    )


def test_no_module_of_the_working_directory_is_run(place: Path) -> None:
    for name in ("numpy", "typer", "json", "signal", "avatarcli", "pipelines"):
        (place / f"{name}.py").write_text(f"open({str(place / 'evil')!r}, 'w').write({name!r})")
    code = "from avatarcli.app import main; main()"
    start = [sys.executable, "-P", "-c", code, "batch", str(place / "jobs.toml"), "--json"]
    done = subprocess.run(start, capture_output=True, text=True, env=environment(place), cwd=place, timeout=120)
    assert not (place / "evil").exists()
    assert json.loads(done.stdout)["rows"]["anna"]["error"].count("anna.mp4")
