"""From a capture folder to an avatar folder: appearance first, expressions afterwards (GAN-Avatar section 3)."""

from pathlib import Path
from typing import Any

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
        step(partial, "plan", lambda: recipe.plan(spent_s))
        step(partial, "appearance", recipe.appearance)
        step(partial, "pairs", recipe.pairs)
        step(partial, "expression_map", recipe.expression_map)
        step(partial, "torso", recipe.torso)
        step(partial, "evaluation", recipe.evaluation)
        return recipe.finish()

    return run_stage(
        "train", version=VERSION, inputs={"capture": capture}, settings=settings, out=out, work=work, overwrite=overwrite
    )
