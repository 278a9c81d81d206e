"""`avatarcli train`: a capture becomes an avatar."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from avatarcli.console import console
from avatarcli.options import (
    Budget,
    Device,
    Memory,
    OnDevice,
    Out,
    Overwrite,
    Preset,
    Set,
    SettingsFile,
    chosen,
    gigabytes,
    pick_device,
    preset,
    seconds,
)
from avatarcli.settings import resolve

Torso = Literal["none", "still", "follow"]


def train(
    capture: Annotated[Path, typer.Argument(help="A folder made by `avatarcli capture`.", show_default=False)],
    out: Out,
    preset_name: Preset = "quick",
    budget: Budget = None,
    memory: Memory = None,
    torso: Annotated[Torso | None, typer.Option(help="The shoulders behind the head.")] = None,
    changes: Set = None,
    settings: SettingsFile = None,
    device: OnDevice = Device.auto,
    overwrite: Overwrite = False,
) -> None:
    """Make an avatar from a capture."""
    budget_s, memory_gb = seconds(budget), gigabytes(memory)
    from pipelines.train import PRESETS
    from pipelines.train import train as make

    flags = chosen(torso=torso, budget_s=budget_s, memory_gb=memory_gb)
    asked = resolve(preset(PRESETS, preset_name), file=settings, stage="train", assignments=[*(changes or []), *flags])
    console().report(make(capture, out, asked, progress=console(), device=pick_device(device), overwrite=overwrite))
