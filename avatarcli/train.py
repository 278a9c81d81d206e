"""`avatarcli train`: a capture becomes an avatar, or another capture improves one."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from avatarcli.console import console
from avatarcli.options import (
    DEFAULT_PRESET,
    Budget,
    Device,
    Memory,
    OnDevice,
    Out,
    Overwrite,
    Preset,
    Set,
    SettingsFile,
    assignments_of,
    gigabytes,
    pick_device,
    preset,
    seconds,
)
from avatarcli.settings import resolve
from pipelines.core.errors import SettingError

Torso = Literal["none", "still", "follow"]


def train(
    capture: Annotated[
        Path,
        typer.Argument(help="A folder made by `avatarcli capture`; with --add, the avatar to improve.", show_default=False),
    ],
    out: Out,
    originals: Annotated[
        list[Path] | None, typer.Argument(help="With --add: the captures the avatar was made of.", show_default="next to it")
    ] = None,
    further: Annotated[
        Path | None, typer.Option("--add", metavar="CAPTURE", help="Improve an avatar with another capture of the same person.")
    ] = None,
    preset_name: Preset = None,
    budget: Budget = None,
    memory: Memory = None,
    torso: Annotated[Torso | None, typer.Option(help="How to show the shoulders behind the head.")] = None,
    changes: Set = None,
    settings: SettingsFile = None,
    device: OnDevice = Device.auto,
    overwrite: Overwrite = False,
) -> None:
    """Make an avatar from a capture, or improve one with another capture (--add)."""
    budget_s, memory_gb = seconds(budget), gigabytes(memory)
    from pipelines.train import PRESETS
    from pipelines.train import train as make

    flags = [*(changes or []), *assignments_of(torso=torso, budget_s=budget_s, memory_gb=memory_gb)]
    if further is not None:
        from pipelines.train.continue_training import add, settings_for

        base = settings_for(capture, preset(PRESETS, preset_name) if preset_name else None)
        asked = resolve(base, file=settings, stage="train", assignments=flags)
        how = {"originals": originals or [], "device": pick_device(device), "overwrite": overwrite}
        console().report(add(capture, further, out, asked, console(), **how))
        return
    if originals:
        raise SettingError(f"{originals[0]}: an avatar is made from one capture; add another one with --add.")
    asked = resolve(preset(PRESETS, preset_name or DEFAULT_PRESET), file=settings, stage="train", assignments=flags)
    console().report(make(capture, out, asked, progress=console(), device=pick_device(device), overwrite=overwrite))
