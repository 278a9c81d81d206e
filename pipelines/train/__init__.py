"""From a capture folder to an avatar folder: appearance first, expressions afterwards (GAN-Avatar section 3)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.artifacts.prior import load_prior
from pipelines.core.stage import Progress, Report, Work, run_stage
from pipelines.engine.distributed import Processes, together
from pipelines.engine.tensorboard_log import insist_on_tensorboard
from pipelines.provenance.consent import carry
from pipelines.train.settings import PRESETS, TrainSettings

if TYPE_CHECKING:
    from pipelines.train.inputs import Tools

__all__ = ["PRESETS", "TrainSettings", "train"]
VERSION = 1


def train(
    capture: Path, out: Path, settings: TrainSettings, progress: Progress, *, device: str = "cpu", overwrite: bool = False,
    spent_s: float = 0.0, tools: "Tools | None" = None,
) -> Report:  # fmt: skip
    """Make `out` (an avatar folder) from a capture folder; `spent_s` of the budget are already gone.

    Under torchrun all processes call this and get the same report; the first one alone reads and writes there. Every one reads
    the capture.
    """

    def work(folder: Path, processes: Processes) -> dict[str, Any]:
        from pipelines.train.recipe import open_inputs, train_avatar

        spent = clock(spent_s)
        inputs = open_inputs(capture, folder, settings, progress, processes, tools)
        return processes.lead(inputs, lambda inputs: train_avatar(inputs, spent)) or {}

    return run_training(work, settings, inputs={"capture": capture}, out=out, device=device, overwrite=overwrite)


def run_training(
    work: Callable[[Path, Processes], dict[str, Any]], settings: TrainSettings, *, inputs: Mapping[str, Path], out: Path,
    device: str, overwrite: bool,
) -> Report:  # fmt: skip
    """`work(folder, processes)` as the stage `train`; `inputs` name the person's own capture `capture`."""
    if settings.finetune.tensorboard:
        insist_on_tensorboard()
    asked = {**asdict(settings), "prior_sha256": load_prior(settings.prior).sha256}

    def stage(work: Work) -> Report:
        return run_stage("train", version=VERSION, inputs=inputs, settings=asked, out=out, work=work, overwrite=overwrite)

    with together(device) as processes:
        report = processes.staged(stage, lambda folder: work(folder, processes))
        if processes.first:
            carry(inputs["capture"], out)
        return report


def clock(spent_s: float = 0.0) -> Callable[[], float]:
    """Seconds from now on, `spent_s` more."""
    start = time.perf_counter()
    return lambda: spent_s + time.perf_counter() - start
