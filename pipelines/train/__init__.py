"""From a capture folder to an avatar folder: appearance first, expressions afterwards (GAN-Avatar section 3)."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipelines.priors import load_prior
from pipelines.provenance.consent import carry
from pipelines.stage import Progress, Report, run_stage, step
from pipelines.train.settings import PRESETS, TrainSettings

__all__ = ["PRESETS", "TrainSettings", "train"]
VERSION = 1


def train(
    capture: Path, out: Path, settings: TrainSettings, progress: Progress, *, device: str = "cpu", overwrite: bool = False,
    spent_s: float = 0.0,
) -> Report:  # fmt: skip
    """Make `out` (an avatar folder) from a capture folder; `spent_s` of the budget are already gone."""

    def work(partial: Path) -> dict[str, Any]:
        from pipelines.train.recipe import Recipe

        recipe = Recipe(capture, partial, settings, progress, device)
        begun = time.perf_counter()
        step(partial, "start", recipe.start)
        step(partial, "plan", lambda: recipe.plan(spent_s + time.perf_counter() - begun))
        step(partial, "appearance", recipe.appearance)
        step(partial, "pairs", recipe.pairs)
        step(partial, "expression_map", recipe.expression_map)
        step(partial, "torso", recipe.torso)
        step(partial, "evaluation", recipe.evaluation)
        return recipe.finish()

    asked = {**asdict(settings), "prior_sha256": load_prior(settings.prior).sha256}
    report = run_stage(
        "train", version=VERSION, inputs={"capture": capture}, settings=asked, out=out, work=work, overwrite=overwrite
    )
    carry(capture, out)
    return report
