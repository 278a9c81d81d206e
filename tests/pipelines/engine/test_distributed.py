"""`prior train` on two processes, really begun by torchrun, against one process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipelines.core.errors import SettingError
from pipelines.core.stage import Silent
from pipelines.engine.distributed import ALONE, Processes, together
from tests.avatarcli.cli import ROOT, environment
from tests.balls import write_balls, write_unit_config

ITERATIONS, BATCH = 5, 8
WEIGHTS = "weights.safetensors", "discriminator.safetensors"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a configuration, and a training of five iterations by one process: `one`."""
    folder = tmp_path_factory.mktemp("world")
    write_balls(folder / "data")
    write_unit_config(folder / "unit.json")
    train_alone(folder, "one")
    return folder


def train_alone(folder: Path, name: str, progress: Silent | None = None, seed: int = 0) -> None:
    from pipelines.prior.train.adversarial import AdversarialSettings
    from pipelines.prior.train.training import PriorTrainSettings, train_prior

    adversarial = AdversarialSettings(
        kimg=ITERATIONS * BATCH / 1000, batch=BATCH, snapshot_kimg=BATCH / 1000, augment="ada", seed=seed
    )
    settings = PriorTrainSettings(config=str(folder / "unit.json"), head_space="quick", samples=8, adversarial=adversarial)
    train_prior(folder / "data", folder / name, settings, progress or Silent(), device="cpu")


def torchrun(folder: Path, name: str, processes: int, iterations: int = ITERATIONS, **changes: object) -> subprocess.Popen[str]:
    asked = {"adversarial.kimg": iterations * BATCH / 1000, "adversarial.batch": BATCH, "adversarial.augment": "ada",
             "adversarial.snapshot_kimg": BATCH / 1000, "head_space": "quick", "samples": 8, **changes}  # fmt: skip
    words = [word for key, value in asked.items() for word in ("--set", f"{key}={value}")]
    where = ["--data", folder / "data", "--config", folder / "unit.json", "-o", folder / name, "--device", "cpu"]
    return subprocess.Popen(
        [*TORCHRUN, str(processes), "-m", "avatarcli", "prior", "train", *map(str, where), *words], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment({"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}),
    )  # fmt: skip


def losses(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def difference(first: Path, second: Path) -> float:
    """The largest of any tensor's, as a share of its largest number."""
    worst = 0.0
    for name in WEIGHTS:
        ours, theirs = load_file(first / name), load_file(second / name)
        assert ours.keys() == theirs.keys()
        shares = [(ours[key] - theirs[key]).abs().max() / (ours[key].abs().max() + 1e-9) for key in ours]
        worst = max(worst, float(torch.stack(shares).max()))
    return worst


def test_two_processes_train_as_one_does(world: Path) -> None:
    run = torchrun(world, "two", 2)
    out, errors = run.communicate(timeout=180)
    assert run.returncode == 0, errors
    assert out.strip() == str(world / "two"), "the first process alone has results"
    one, two = losses(world / "one"), losses(world / "two")
    assert len(one) == ITERATIONS and {"G", "D", "density", "R1"} <= one[0].keys() and "density" in one[4]
    for ours, theirs in zip(one, two, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-4), "losses, ADA's p, figures"
    assert two[4]["p"] > 0
    assert difference(world / "one", world / "two") < 1e-3
    train_alone(world, "other", seed=1)
    assert difference(world / "one", world / "other") > 0.1, "a difference would have been seen"
    averages = [load_file(world / name / WEIGHTS[0])["backbone.mapping.w_avg"] for name in ("one", "two")]
    assert torch.allclose(*averages, rtol=1e-5, atol=1e-7) and averages[0].any()


@pytest.mark.slow
def test_a_checkpoint_goes_on_with_another_number_of_processes(world: Path) -> None:
    class Stop(Exception):
        pass

    class Impatient(Silent):
        def note(self, text: str) -> None:
            raise Stop

    with pytest.raises(Stop):
        train_alone(world, "mixed", Impatient())
    run = torchrun(world, "mixed", 2)
    _, errors = run.communicate(timeout=180)
    assert run.returncode == 0, errors
    assert [row["iteration"] for row in losses(world / "mixed")] == [1, 2, 3, 4, 5]
    assert difference(world / "one", world / "mixed") < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_lost_process_ends_the_others_with_a_sentence(world: Path, rank: int) -> None:
    run = torchrun(world, f"lost{rank}", 2, iterations=100_000)
    partial, end = world / f"lost{rank}.partial" / "checkpoint.safetensors", time.monotonic() + 120
    while not partial.exists() and time.monotonic() < end:
        time.sleep(0.2)
    os.kill(child_of(run.pid, rank), signal.SIGKILL)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert re.search(rf"process {1 - rank} of 2 (stopped because another|was stopped, .* another) process died", errors)
    assert partial.exists(), "to go on from"


def child_of(parent: int, rank: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    if not children.exists():
        pytest.skip("needs /proc to find the process")
    for child in children.read_text().split():
        if re.search(rf"(^|\0)RANK={rank}\0", Path(f"/proc/{child}/environ").read_text()):
            return int(child)
    raise AssertionError(f"no process of rank {rank}")


def test_a_batch_too_small_for_the_processes_is_said(world: Path) -> None:
    with pytest.raises(SettingError, match="2 micro-batches is too small for 3 processes"):
        Processes(rank=2, count=3).mine([0, 1])


def test_pieces_are_dealt_out_in_turn_and_every_one_once() -> None:
    assert [Processes(rank=rank, count=2).mine("abcde") for rank in range(2)] == [["a", "c", "e"], ["b", "d"]]


def test_alone_nothing_is_sent() -> None:
    total = torch.ones(3)
    ALONE.add(total)
    assert total.tolist() == [1, 1, 1] and ALONE.from_first("x") == "x" and ALONE.share({"a": total})["a"] is total
    assert ALONE.lead(2, lambda context: ALONE.call(pow, context, 3)) == 8
    with together("cpu") as processes:
        assert processes == ALONE and not torch.distributed.is_initialized()
