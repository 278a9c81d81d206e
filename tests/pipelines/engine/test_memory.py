"""Less at once for the same step: micro-batches, groups of the discriminator, and going on where memory runs out."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.core.errors import SettingError
from pipelines.core.stage import Silent
from pipelines.engine.checkpoint import load_checkpoint
from pipelines.engine.distributed import ALONE, Processes
from pipelines.engine.judges import parameters_of
from pipelines.engine.memory import batch_limit, fit_to_memory, is_out_of_memory, ladder, measure_peak
from pipelines.engine.microbatches import group_batches, micro_batches
from pipelines.train import adversary, steps
from pipelines.train.context import Batches
from pipelines.train.finetune import Finetuning
from pipelines.train.settings import FinetuneSettings
from pipelines.train.steps import train_step
from tests.avatarcli.cli import ROOT, environment
from tests.pipelines.train.test_finetune import ADVERSARIAL, capture, make

__all__ = ["capture"]
CPU = "[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
GROUPS = {**ADVERSARIAL, "adversarial_batch": 8, "r1_every": 2, "augment": "fixed"}
"""Two groups that the discriminator compares."""


def trained(capture: Path, changes: Mapping[str, object], count: int) -> tuple[list[dict[str, float]], torch.Tensor]:
    """Figures of `count` steps, and all weights after them."""
    trainer, frames, settings = make(capture, changes)
    batches = Batches(frames, trainer.generator, settings)
    rows = [train_step(trainer, batches, settings, steps=count, seed=0) for _ in range(count)]
    weights = [*trainer.generator.parameters(), *parameters_of(trainer.judges), trainer.latents]
    return rows, torch.cat([one.detach().flatten() for one in weights])


@pytest.mark.parametrize("changes", [{}, GROUPS], ids=["hybrid", "paper"])
@pytest.mark.parametrize("less", [{"micro_batch": 1}, {"micro_batch": 3, "memory": "light"}], ids=["one", "three, light"])
def test_smaller_pieces_change_nothing_but_rounding(capture: Path, changes: dict[str, object], less: dict[str, object]) -> None:
    whole, ours = trained(capture, changes, 4)
    parts, theirs = trained(capture, {**changes, **less}, 4)
    for one, other in zip(whole, parts, strict=True):
        assert other == pytest.approx(one, rel=1e-4)
    _, others = trained(capture, {**changes, "batch": 3, "adversarial_batch": 4}, 4)
    assert (ours - theirs).abs().mean() < 0.01 * (ours - others).abs().mean(), "other batches differ"


def test_parts_and_groups() -> None:
    asked = FinetuneSettings(batch=5, adversarial_batch=8, micro_batch=2)
    assert micro_batches(5, asked, ALONE) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert [one.tolist() for one in group_batches(8, 4, asked, ALONE)] == [[0, 2, 4, 6], [1, 3, 5, 7]]
    both = replace(asked, micro_batch=None)
    assert [one.tolist() for one in group_batches(8, 4, both, ALONE)] == [list(range(8))]
    assert [one.tolist() for one in group_batches(8, 4, both, Processes(count=2))] == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert [one.tolist() for one in group_batches(16, 4, replace(asked, micro_batch=8), ALONE)] == [
        [0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15],
    ]  # fmt: skip
    assert [one.tolist() for one in group_batches(3, 3, asked, ALONE)] == [[0, 1, 2]]
    assert micro_batches(4, FinetuneSettings(), Processes(count=2)) == [slice(0, 2), slice(2, 4)]


def test_what_says_that_memory_is_short() -> None:
    assert is_out_of_memory(MemoryError()) and is_out_of_memory(RuntimeError(CPU))
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("x"))
    for text in ("not enough memory: you tried to allocate 9 bytes.", "cannot allocate memory", "could not create a primitive"):
        assert is_out_of_memory(RuntimeError(text))
    assert not is_out_of_memory(RuntimeError("sizes differ")) and not is_out_of_memory(ValueError("out of memory"))


def test_the_ladder_ends_with_one_image_in_light_memory() -> None:
    rungs = [(batch_limit(one, 1), one.memory) for one in ladder(FinetuneSettings(batch=4), 1)]
    assert rungs == [(1, "light"), (1, "fast"), (2, "fast"), (4, "fast")]


@pytest.mark.parametrize(
    ("limit", "images", "memory"), [(10, 4, "fast"), (3.1, 2, "fast"), (2.3, 1, "fast"), (1.5, 1, "light")]
)
def test_a_limit_of_memory_becomes_a_micro_batch(limit: float, images: int, memory: str) -> None:
    """1 GB is there before, an image needs 0.8 GB or in light memory 0.3 GB; 0.9 of the limit are filled."""
    measured = []

    def peak(one: FinetuneSettings) -> tuple[float, float]:
        measured.append(1 + batch_limit(one, 1) * (0.8 if one.memory == "fast" else 0.3))
        return 1.0, measured[-1]

    found, peak_gb, why = fit_to_memory(FinetuneSettings(batch=4), limit, 1, peak)
    assert (batch_limit(found, 1), found.memory) == (images, memory)
    assert f"{peak_gb:.2f} of {limit:g} GB" in why and peak_gb <= 0.9 * limit
    assert max(measured[1:], default=0) <= 0.9 * limit, "nothing is tried that would not fit"
    with pytest.raises(SettingError, match=r"needs 1\.3 GB even with 1 image at once, large .*; give at least 1\.4g"):
        fit_to_memory(FinetuneSettings(batch=4), 1.2, 1, peak)


def test_a_peak_is_seen() -> None:
    before, most = measure_peak(lambda: torch.ones(50_000_000).sum(), "cpu")
    assert 0.15 < most - before < 0.4


class Short:
    """Stands in for a function of images: out of memory where there are more than `most`, but not in the first calls."""

    def __init__(self, inner: Any, most: int, images: int, from_call: int = 0):
        self.inner, self.most, self.images, self.left = inner, most, images, from_call

    def __call__(self, *inputs: Any) -> Any:
        self.left -= 1
        if self.left < 0 and len(inputs[self.images]) > self.most:
            raise RuntimeError(CPU)
        return self.inner(*inputs)


def run(capture: Path, name: str, changes: Mapping[str, object], count: int = 6, progress: Silent | None = None, **more: Any):
    trainer, frames, settings = make(capture, changes)
    folder = capture.parent / name
    folder.mkdir(exist_ok=True)
    figures = Finetuning(
        trainer=trainer, batches=Batches(frames, trainer.generator, settings), settings=settings, steps=count, seed=0,
        folder=folder, progress=progress or Silent(), probe=lambda _: {}, **more,
    ).run()  # fmt: skip
    return trainer, figures


@pytest.mark.parametrize(
    ("changes", "place", "short"),
    [
        ({}, (steps, "render_latents"), {"most": 2, "images": 1, "from_call": 2}),
        ({**GROUPS, "micro_batch": 4}, (adversary, "images_of"), {"most": 1, "images": 1, "from_call": 10}),
    ],
    ids=["photometric", "generator after the discriminator's step"],
)
def test_out_of_memory_goes_on_from_the_last_finished_step(
    capture: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], place: tuple[Any, str], short: dict[str, int]
) -> None:
    whole, _ = run(capture, "whole", changes)
    monkeypatch.setattr(*place, Short(getattr(*place), **short))
    said: list[tuple[FinetuneSettings, str]] = []
    less, figures = run(capture, "less", changes, shrunk=lambda settings, why: said.append((settings, why)))
    assert figures["made_smaller"] == [why for _, why in said] and said
    assert batch_limit(said[-1][0], 1) == short["most"] and "out of memory in step 3" in said[0][1]
    assert less.step == whole.step == 6
    for one, other in zip(parameters_of(whole.judges), parameters_of(less.judges), strict=True):
        assert torch.allclose(one, other, atol=2e-4), "its step was made once"
    for one, other in zip(whole.generator.parameters(), less.generator.parameters(), strict=True):
        assert (one - other).abs().max() < 1e-3 * max(one.abs().max(), 1)


LIMITED = """
import re, resource, sys
from pathlib import Path
import torch
from tests.pipelines.engine.test_memory import run
torch.set_num_threads(1)
capture, changes = Path(sys.argv[1]), {"batch": 96, "adversarial": 0.0}
run(capture, "warm", {**changes, "micro_batch": 2}, 2)
size = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 140_000_000, -1))
trainer, figures = run(capture, "less", changes, 3)
print(trainer.step, figures["made_smaller"])
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_process_that_may_have_140_mb_more_goes_on(capture: Path) -> None:
    """The operating system really refuses. What is limited is address space, so freed tensors have to leave it (glibc)."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(capture)], capture_output=True, text=True, timeout=400, cwd=ROOT,
        env=environment({"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("3 ['out of memory in step "), done.stdout


class Signaled(Exception):
    pass


class SignalAfter(Silent):
    """Sends a signal in the middle: after so many steps were shown."""

    def __init__(self, steps: int, number: int):
        self.left, self.number = steps, number

    def advance(self, count: int = 1) -> None:
        self.left -= count
        if self.left == 0:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_step_in_hand_first(capture: Path, number: int) -> None:
    def obey(number: int, frame: object) -> None:
        raise Signaled

    whole, _ = run(capture, "whole", {})
    before = signal.signal(number, obey)
    try:
        with pytest.raises(Signaled):
            run(capture, "stopped", {}, progress=SignalAfter(3, number))
        assert signal.getsignal(number) is obey
    finally:
        signal.signal(number, before)
    assert load_checkpoint(capture.parent / "stopped" / "checkpoint.safetensors")[0] == 3, "checkpoints are every 4 steps"
    resumed, _ = run(capture, "stopped", {})
    assert resumed.step == 6
    for name, value in whole.average["generator"].items():
        assert torch.equal(value, resumed.average["generator"][name])


def test_a_deadline_ends_the_steps_at_a_checkpoint(capture: Path) -> None:
    calls = iter([False, False, False, True, True])
    trainer, figures = run(capture, "late", {}, late=lambda seconds, pace: next(calls))
    assert (figures["steps"], figures["planned_steps"], trainer.step) == (3, 6, 3)
    assert load_checkpoint(capture.parent / "late" / "checkpoint.safetensors")[0] == 3
    again, _ = run(capture, "late", {}, late=lambda seconds, pace: next(calls))
    assert again.step == 3
