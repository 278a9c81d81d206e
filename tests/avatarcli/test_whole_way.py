"""The true commands on the packaged clips, with a training of a few steps: everything but the quality."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pipelines.demo import Clips, demo_clips
from pipelines.media.video import probe
from tests.avatarcli.cli import avatarcli, command, environment

SMALL = [
    "capture.frames.max_frames=32",
    "cameras.method=landmarks",
    "finetune.steps=24",
    "finetune.batch=2",
    "finetune.checkpoint_every=12",
    "pairs.count=40",
    "expression_map.steps=40",
    "self_check=false",
]


def words(clips: Clips, out: Path) -> list[str | Path]:
    return ["run", clips.capture, "--drive", clips.driver, "-o", out, "--device", "cpu", *(f"--set={text}" for text in SMALL)]


@pytest.fixture(scope="module")
def clips() -> Clips:
    return demo_clips()


@pytest.fixture(scope="module")
def made(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the JSON object of one run."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done = avatarcli(*words(clips, out), "--json", timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return out, json.loads(done.stdout)


def test_three_stages_and_a_video_as_long_as_its_driver(made: tuple[Path, dict[str, Any]], clips: Clips) -> None:
    out, result = made
    assert [(stage["stage"], stage["status"]) for stage in result["stages"]] == [
        ("capture", "done"), ("train", "done"), ("drive", "done"),
    ]  # fmt: skip
    assert Path(result["out"]) == out / f"{clips.driver.stem}.mp4"
    assert probe(Path(result["out"])).frames == probe(clips.driver).frames
    assert {"avatar", "baselines"} <= set(result["stages"][1]["figures"]["evaluation"])
    assert not list(out.glob("*.partial"))


def test_the_same_command_twice_is_the_same_result(made: tuple[Path, dict[str, Any]], clips: Clips) -> None:
    out, first = made
    done = avatarcli(*words(clips, out), "--json")
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert {stage["status"] for stage in again["stages"]} == {"unchanged"}
    assert [stage["fingerprint"] for stage in again["stages"]] == [stage["fingerprint"] for stage in first["stages"]]


def test_other_settings_are_refused_and_nothing_is_lost(made: tuple[Path, dict[str, Any]], clips: Clips) -> None:
    out, _ = made
    done = avatarcli(*words(clips, out), "--set", "train.seed=5")
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert (out / f"{clips.capture.stem}.avatar" / "avatar.json").exists()


def test_reports_are_there(made: tuple[Path, dict[str, Any]], clips: Clips) -> None:
    out, _ = made
    capture, avatar = (out / f"{clips.capture.stem}.{kind}" / "report.html" for kind in ("capture", "avatar"))
    for page, names in ((capture, ("Cameras", "Mattes", "Coverage")), (avatar, ("Compared with baselines", "Expressions"))):
        text = page.read_text()
        assert all(name in text for name in names)
        assert text.count("Not available.") == 0


def test_evaluate_says_what_training_said(made: tuple[Path, dict[str, Any]], clips: Clips) -> None:
    out, result = made
    folders = [out / f"{clips.capture.stem}.{kind}" for kind in ("avatar", "capture")]
    done = avatarcli("evaluate", *folders, "--device", "cpu", "--json")
    figures, known = json.loads(done.stdout)["figures"], result["stages"][1]["figures"]["evaluation"]
    assert figures["avatar"]["psnr_head"] == pytest.approx(known["avatar"]["psnr_head"], abs=0.01)
    assert figures["baselines"]["oracle"]["psnr_head"] >= figures["baselines"]["retrieval"]["psnr_head"]


def test_a_capture_moves_to_another_folder_and_names_no_place(
    made: tuple[Path, dict[str, Any]], clips: Clips, tmp_path: Path
) -> None:
    """The avatar made of it is known to be the same there."""
    out, result = made
    moved, avatar = tmp_path / "elsewhere.capture", tmp_path / "b.avatar"
    shutil.copytree(out / f"{clips.capture.stem}.capture", moved)
    shutil.copytree(out / f"{clips.capture.stem}.avatar", avatar)
    for path in (*moved.rglob("*"), *avatar.rglob("*")):
        assert not path.is_file() or str(out.parent).encode() not in path.read_bytes(), path
    sets = [f"--set={text}" for text in SMALL if text.startswith(("finetune", "pairs", "expression_map"))]
    done = avatarcli("train", moved, "-o", avatar, "--device", "cpu", *sets, "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout)["status"] == "unchanged"


@pytest.mark.slow
@pytest.mark.parametrize(
    "waits_for", ["capture.partial/frames", "avatar.partial/checkpoint.safetensors", "driver.mp4.partial/segments"]
)
def test_kill_9_in_the_middle_and_the_same_command_again(
    made: tuple[Path, dict[str, Any]], clips: Clips, tmp_path: Path, waits_for: str
) -> None:
    """The result is the one of a run that was never killed."""
    out, result = made
    child = subprocess.Popen(
        command(*words(clips, tmp_path)), env=environment(), stderr=subprocess.DEVNULL, start_new_session=True
    )
    sign = tmp_path / f"{clips.capture.stem}.{waits_for}" if "driver" not in waits_for else tmp_path / waits_for
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and not sign.exists() and child.poll() is None:
        time.sleep(0.02)
    assert child.poll() is None, f"{sign} was never seen"
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    done = avatarcli(*words(clips, tmp_path), "--json", timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    again = json.loads(done.stdout)
    assert [stage["fingerprint"] for stage in again["stages"]] == [stage["fingerprint"] for stage in result["stages"]]
    for name in (
        f"{clips.capture.stem}.avatar/generator.safetensors",
        f"{clips.capture.stem}.capture/tracking.npz",
    ):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name
    drives = [stages["stages"][2]["figures"]["provenance"]["unsigned_sha256"] for stages in (result, again)]
    assert drives[0] == drives[1], "the video before it was signed"
