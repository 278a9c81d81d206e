"""How good an avatar is on held-out frames: the frozen protocol, more figures next to it, and a page with pictures."""

from pathlib import Path
from typing import Any

from pipelines.core.files import read_json
from pipelines.core.stage import Progress, Silent, run_stage, step
from pipelines.evaluate.protocol import (
    PAGE,
    PROTOCOL,
    RECORD,
    Pictures,
    Poses,
    baselines,
    evaluate_model,
    oracle,
    pictures,
    poses,
    psnr,
    render_rows,
    retrieve,
    score,
    sharpness,
    ssim,
    tracked_expression,
    weighted,
)

__all__ = [
    "PAGE", "PROTOCOL", "Pictures", "Poses", "baselines", "default_out", "evaluate", "evaluate_model", "oracle", "pictures",
    "poses", "psnr", "render_rows", "retrieve", "score", "sharpness", "ssim", "tracked_expression", "weighted",
]  # fmt: skip
VERSION = 2


def evaluate(
    avatar: Path, capture: Path | None = None, *, out: Path | None = None, compare: Path | None = None, size: int | None = None,
    device: str = "cpu", progress: Progress | None = None, overwrite: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The figures of an avatar on the held-out frames of its capture, and `out` with evaluation.json and report.html.

    Without `capture` it is looked for beside the avatar; without `out` the result lies there too and is renewed when it is out
    of date. `compare` puts another avatar of the same capture beside it. `size` is that of the compared pictures, None the
    generator's own. UnusableMaterial when the frames or the folders do not allow to judge. The keys of protocol `heldout-1`
    are at the top of the record.
    """
    from pipelines.evaluate.folders import capture_of, insist_comparable
    from pipelines.evaluate.perceptual import lpips_tool, st_lpips_tool
    from pipelines.evaluate.recipe import Evaluation

    progress, place = progress or Silent(), out or default_out(avatar, compare, size)
    capture = capture_of(avatar, capture)
    if compare is not None:
        insist_comparable(avatar, compare, size)
    recipe = Evaluation(
        avatar=avatar, capture=capture, compare=compare, lpips=lpips_tool(device), st_lpips=st_lpips_tool(device), size=size,
        device=device, progress=progress,
    )  # fmt: skip
    report = run_stage(
        "evaluate", version=VERSION, inputs=recipe.inputs, settings=recipe.asked, out=place, overwrite=overwrite or out is None,
        work=lambda partial: step(partial, "evaluation", lambda: recipe.run(partial)),
    )  # fmt: skip
    known = {"done": "was written", "unchanged": "is up to date"}[report.status]
    progress.say(f"{place / PAGE} {known}.")
    return read_json(place / RECORD)


def default_out(avatar: Path, compare: Path | None, size: int | None = None) -> Path:
    """`anna.evaluation` beside `anna.avatar`; `anna-and-bert.evaluation` when compared with `bert.avatar`.

    At 512 pixels that were asked for it is `anna-512.evaluation`.
    """
    names = [folder.name.removesuffix(".avatar") for folder in (avatar, compare) if folder is not None]
    return avatar.parent / f"{'-and-'.join(names)}{f'-{size}' if size else ''}.evaluation"
