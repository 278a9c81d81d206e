"""Appearance: one person's generator, from images and cameras only (GAN-Avatar section 3.1), step by step to the end.

Every random number is keyed by (seed, step, purpose), so a resumed run equals an unbroken one.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

from pipelines.stage import Progress
from pipelines.train.checkpoint import load_checkpoint, save_checkpoint
from pipelines.train.settings import FinetuneSettings
from pipelines.train.steps import Batches, train_step
from pipelines.train.trainer import Trainer


def finetune(
    trainer: Trainer, batches: Batches, settings: FinetuneSettings, *, steps: int, seed: int, folder: Path,
    progress: Progress, probe: Callable[[Trainer], dict[str, float]],
) -> None:  # fmt: skip
    """Run `trainer` to `steps`, continuing from `folder/checkpoint.safetensors`, writing checkpoints and `train_log.jsonl`."""
    checkpoint, log = folder / "checkpoint.safetensors", folder / "train_log.jsonl"
    if checkpoint.exists():
        trainer.load(*load_checkpoint(checkpoint, str(trainer.latents.device)))
    _cut_log(log, trainer.step)
    start = time.perf_counter()
    with progress.task("appearance", steps) as task:
        task.advance(trainer.step)
        while trainer.step < steps:
            figures = train_step(trainer, batches, settings, steps=steps, seed=seed)
            task.advance()
            if trainer.step % settings.checkpoint_every == 0 or trainer.step == steps:
                figures |= probe(trainer)
                save_checkpoint(checkpoint, trainer.step, trainer.tree())
                task.note(", ".join(f"{name} {value:.3g}" for name, value in figures.items()))
            if trainer.step % 10 == 0 or trainer.step == steps:
                _append(log, {"step": trainer.step, "seconds": round(time.perf_counter() - start, 2), **figures})


def _append(log: Path, row: dict[str, float]) -> None:
    with log.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def _cut_log(log: Path, step: int) -> None:
    """Drop lines past the checkpoint: the resumed run writes them again."""
    if log.exists():
        lines = [line for line in log.read_text().splitlines() if line.endswith("}") and json.loads(line)["step"] <= step]
        log.write_text("".join(line + "\n" for line in lines))
