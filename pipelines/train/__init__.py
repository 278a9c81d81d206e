"""From a capture folder to an avatar folder: appearance first, expressions afterwards (GAN-Avatar section 3)."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.artifacts.prior import load_prior
from pipelines.core.stage import Progress, Report, Work, run_stage, step
from pipelines.engine.distributed import Processes, together
from pipelines.engine.tensorboard_log import insist_on_tensorboard
from pipelines.provenance.consent import carry
from pipelines.train.settings import PRESETS, TrainSettings

if TYPE_CHECKING:
    from pipelines.train.recipe import Recipe

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

    def recipe_of(partial: Path, processes: Processes) -> "Recipe":
        from pipelines.train.recipe import Recipe

        return Recipe(capture, partial, settings, progress, processes.device, processes)

    return made(
        recipe_of, inputs={"capture": capture}, asked=asked, out=out, device=device, overwrite=overwrite, spent_s=spent_s
    )


def made(
    recipe_of: Callable[[Path, Processes], "Recipe"], *, inputs: Mapping[str, Path], asked: Mapping[str, Any], out: Path,
    device: str, overwrite: bool, spent_s: float = 0.0,
) -> Report:  # fmt: skip
    """What the steps of a recipe make, as the stage `train`; `inputs` name the person's own capture `capture`."""
    if asked["finetune"]["tensorboard"]:
        insist_on_tensorboard()

    def stage(work: Work) -> Report:
        return run_stage("train", version=VERSION, inputs=inputs, settings=asked, out=out, work=work, overwrite=overwrite)

    with together(device) as processes:

        def work(partial: Path) -> dict[str, Any]:
            recipe = recipe_of(partial, processes)
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
            carry(inputs["capture"], out)
        return report
