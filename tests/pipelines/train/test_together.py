"""`avatarcli train` as it is really begun: by torchrun on two processes, ended by signals, killed at random moments."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.avatarcli.cli import ROOT, environment
from tests.worlds import write_solid_capture, write_unit_prior

BEGIN = """
from functools import partial
from pipelines import train
from pipelines.train.inputs import Tools
from tests.training import MouthLabeler
train.train = partial(train.train, tools=Tools(labeler=MouthLabeler))
from avatarcli.app import main
main()
"""
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node")
STEPS = 12
SMALL = {
    "finetune.coarse": 6, "finetune.fine": 6, "finetune.checkpoint_every": 4, "finetune.adversarial_every": 3,
    "finetune.adversarial_from": 0.3, "finetune.adversarial_batch": 8, "finetune.latents": "sampled", "finetune.r1_every": 3,
    "pairs.count": 40, "pairs.render_px": 32, "expression_map.steps": 50, "expression_map.hidden": 16,
}  # fmt: skip
KEPT = (
    "generator.safetensors", "latents.npz", "pairs.npz", "expression_map.safetensors", "avatar.json", "metrics.json",
    "plan.json", "checkpoint.safetensors", "samples/heldout.png", "samples/step_000008.png",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture, a prior, and a training by one process: `one.avatar`."""
    folder = tmp_path_factory.mktemp("together")
    write_unit_prior(folder / "prior")
    write_solid_capture(folder / "solid.capture")
    (folder / "begin.py").write_text(BEGIN)
    finished(begun(folder, "one"))
    return folder


def begun(folder: Path, name: str, processes: int = 1, **changes: object) -> subprocess.Popen[str]:
    asked = {**SMALL, "finetune.steps": STEPS, "prior": folder / "prior", **changes}
    words = [word for key, value in asked.items() for word in ("--set", f"{key}={value}")]
    start = [sys.executable] if processes == 1 else [*TORCHRUN, str(processes)]
    command = [*start, folder / "begin.py", "train", folder / "solid.capture", "-o", folder / f"{name}.avatar"]
    return subprocess.Popen(
        [*map(str, command), "--device", "cpu", "--torso", "none", *words], text=True, cwd=ROOT, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env=environment({"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}),
    )  # fmt: skip


def finished(run: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, errors = run.communicate(timeout=400)
    assert run.returncode == code, errors
    return out, errors


def losses(avatar: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (avatar / "train_log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def difference(first: Path, second: Path) -> float:
    """Mean of the generators' weights' differences, as a share of their mean size."""
    ours, theirs = (load_file(avatar / "generator.safetensors") for avatar in (first, second))
    assert ours.keys() == theirs.keys()
    one, other = (torch.cat([state[name].flatten() for name in ours if "mapping" not in name]) for state in (ours, theirs))
    return float((one - other).abs().mean() / one.abs().mean())


def test_two_processes_train_as_one_does(world: Path) -> None:
    out, _ = finished(begun(world, "two", 2))
    one, two = world / "one.avatar", world / "two.avatar"
    assert out.strip() == str(two), "the first process alone has results"
    ours, theirs = losses(one), losses(two)
    assert [row["step"] for row in ours] == [10, 12] and {"raw", "image", "discriminator", "adversarial"} <= ours[0].keys()
    for row, other in zip(ours, theirs, strict=True):
        assert other == pytest.approx(row, rel=1e-4)
    assert difference(one, two) < 1e-4
    averages = [load_file(avatar / "generator.safetensors")["backbone.mapping.w_avg"] for avatar in (one, two)]
    assert torch.allclose(*averages, rtol=1e-4, atol=1e-6) and averages[0].any()
    assert load_file(two / "expression_map.safetensors").keys() == load_file(one / "expression_map.safetensors").keys()


@pytest.mark.slow
def test_a_signal_leaves_a_checkpoint_that_other_numbers_of_processes_go_on_from(world: Path) -> None:
    for name, first, then in (("apart", 1, 2), ("together", 2, 1)):
        run = begun(world, name, first)
        checkpoint = world / f"{name}.avatar.partial" / "checkpoint.safetensors"
        wait_for(checkpoint, run)
        run.send_signal(signal.SIGTERM)
        _, errors = run.communicate(timeout=200)
        assert "saved after step" in errors and "continue" in errors
        assert run.returncode == 130 if first == 1 else run.returncode != 0
        assert checkpoint.exists() and not (world / f"{name}.avatar").exists()
        finished(begun(world, name, then))
        assert [row["step"] for row in losses(world / f"{name}.avatar")] == [10, 12]
        assert difference(world / "one.avatar", world / f"{name}.avatar") < 1e-4
    finished(begun(world, "other", seed=1))
    assert difference(world / "one.avatar", world / "other.avatar") > 0.01, "a difference would have been seen"


@pytest.mark.slow
def test_killed_at_ten_random_moments_it_makes_the_same_bytes(world: Path) -> None:
    """Every run is killed somewhere between a tenth and nine tenths of the time that a whole one takes, unless it is done."""
    start = time.monotonic()
    finished(begun(world, "whole"))
    whole_s, moments, kills, number = time.monotonic() - start, random.Random(0), 0, 0
    assert differing(world / "one.avatar", world / "whole.avatar") == []
    while kills < 10:
        avatar = world / f"killed{number}.avatar"
        while kills < 10 and not avatar.exists():
            run = begun(world, avatar.stem)
            try:
                run.wait(whole_s * moments.uniform(0.1, 0.9))
                assert run.returncode == 0, run.communicate()[1]
            except subprocess.TimeoutExpired:
                run.kill()
                kills += 1
            run.communicate()
        if not avatar.exists():
            finished(begun(world, avatar.stem))
        assert differing(world / "one.avatar", avatar) == [], f"after {kills} kills"
        number += 1


def differing(first: Path, second: Path) -> list[str]:
    return [name for name in KEPT if (first / name).read_bytes() != (second / name).read_bytes()]


def wait_for(path: Path, run: subprocess.Popen[str], most_s: float = 200) -> None:
    end = time.monotonic() + most_s
    while not path.exists() and time.monotonic() < end and run.poll() is None:
        time.sleep(0.02)
    assert path.exists(), run.communicate()[1] if run.poll() is not None else os.strerror(110)
