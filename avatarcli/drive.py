"""`avatarcli drive`: a video of anybody moves an avatar."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from avatarcli.console import console
from avatarcli.options import Device, OnDevice, Out, Overwrite, Set, SettingsFile, chosen, pick_device
from avatarcli.settings import resolve
from avatarcli.train import Torso

View = Literal["driver", "still", "orbit"]


def drive(
    avatar: Annotated[Path, typer.Argument(help="A folder made by `avatarcli train`.", show_default=False)],
    video: Annotated[
        Path, typer.Option("--video", help="Who moves it: expressions, head and sound come from here.", show_default=False)
    ],
    out: Out,
    view: Annotated[View | None, typer.Option(help="Head motion of the driver, none, or a sway.")] = None,
    background: Annotated[str | None, typer.Option(help="A color '#808080', an image file or transparent.")] = None,
    torso: Annotated[Torso | None, typer.Option(help="The shoulders behind the head.")] = None,
    changes: Set = None,
    settings: SettingsFile = None,
    device: OnDevice = Device.auto,
    overwrite: Overwrite = False,
) -> None:
    """Move an avatar by a video."""
    from pipelines.drive import DriveSettings
    from pipelines.drive import drive as make

    flags = chosen(view=view, background=background, torso=torso)
    asked = resolve(DriveSettings(), file=settings, stage="drive", assignments=[*(changes or []), *flags])
    console().report(make(avatar, video, out, asked, progress=console(), device=pick_device(device), overwrite=overwrite))
