"""From a capture folder to an avatar folder: appearance first, expressions afterwards (GAN-Avatar section 3)."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.distributed import together
from pipelines.priors import load_prior
from pipelines.provenance.consent import carry
from pipelines.stage import Progress, Report, Work, run_stage, step
from pipelines.train.board import insist_on_tensorboard
from pipelines.train.settings import PRESETS, TrainSettings

__all__ = ["PRESETS", "TrainSettings", "train"]
VERSION = 1


def train(
    capture: Path, out: Path, settings: TrainSettings, progress: Progress, *, device: str = "cpu", overwrite: bool = False,
    spent_s: float = 0.0,
) -> Report:  # fmt: skip
    """Make `out` (an avatar folder) from a capture folder; `spent_s` of the budget are already gone.

    Under torchrun all processes call this and get the same report; the first one alone reads and writes there. Every one reads
    the capture.
    """
    asked = {**asdict(settings), "prior_sha256": load_prior(settings.prior).sha256}
    if settings.finetune.tensorboard:
        insist_on_tensorboard()

    def stage(work: Work) -> Report:
        return run_stage(
            "train", version=VERSION, inputs={"capture": capture}, settings=asked, out=out, work=work, overwrite=overwrite
        )

    with together(device) as processes:

        def work(partial: Path) -> dict[str, Any]:
            from pipelines.train.recipe import Recipe

            recipe = Recipe(capture, partial, settings, progress, processes.device, processes)
            if not processes.first:
                recipe.help()
                return {}
            begun = time.perf_counter()
            step(partial, "start", recipe.start)
            step(partial, "plan", lambda: recipe.plan(lambda: spent_s + time.perf_counter() - begun))
            step(partial, "appearance", recipe.appearance)
            step(partial, "pairs", recipe.pairs)
            step(partial, "expression_map", recipe.expression_map)
            step(partial, "torso", recipe.torso)
            step(partial, "evaluation", recipe.evaluation)
            processes.from_first(None)
            return recipe.finish()

        report = processes.staged(stage, work)
        if processes.first:
            carry(capture, out)
        return report
