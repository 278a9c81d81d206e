"""`avatarcli evaluate`: the frozen evaluation of an avatar on the held-out end of its capture, against baselines."""

from pathlib import Path
from typing import Annotated

import typer

from avatarcli.console import console
from avatarcli.options import Device, OnDevice, Overwrite, pick_device


def evaluate(
    avatar: Annotated[Path, typer.Argument(help="A folder made by `avatarcli train`.", show_default=False)],
    capture: Annotated[
        Path | None, typer.Argument(help="The capture it was made from.", show_default="next to the avatar")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Compare with another avatar of the same capture.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the report.", show_default="next to the avatar"),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=64, max=2048, help="Pixels a side at which pictures are compared.", show_default="the avatar's own"),
    ] = None,
    device: OnDevice = Device.auto,
    overwrite: Overwrite = False,
) -> None:
    """Score an avatar on held-out frames, against baselines or another avatar, and write a report with pictures."""
    from pipelines.evaluate import default_out
    from pipelines.evaluate import evaluate as score
    from pipelines.evaluate.page import sentences

    figures = score(
        avatar,
        capture,
        out=out,
        compare=compare,
        size=size,
        device=pick_device(device),
        progress=console(),
        overwrite=overwrite,
    )
    console().evaluation(figures)
    place = str(out or default_out(avatar, compare, size))
    line = place if console().flags.quiet else "\n".join([*sentences(figures), place])
    console().result({"status": "done", "out": place, "figures": figures}, line)
