"""`avatarcli evaluate`: the frozen evaluation of an avatar on the held-out end of a capture."""

from pathlib import Path
from typing import Annotated

import typer

from avatarcli.console import console
from avatarcli.options import Device, OnDevice, pick_device


def evaluate(
    avatar: Annotated[Path, typer.Argument(help="A folder made by `avatarcli train`.", show_default=False)],
    capture: Annotated[Path, typer.Argument(help="A folder made by `avatarcli capture`.", show_default=False)],
    device: OnDevice = Device.auto,
) -> None:
    """Score an avatar on held-out frames, beside its baselines."""
    from pipelines.evaluate import evaluate as score

    figures = score(avatar, capture, device=pick_device(device))
    console().result({"status": "done", "out": str(avatar), "figures": figures}, console().evaluation(figures))
