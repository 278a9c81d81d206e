"""`avatarcli capture`: footage becomes a folder of aligned, matted crops with cameras."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from avatarcli.console import console
from avatarcli.options import Out, Overwrite, Set, SettingsFile, chosen
from avatarcli.settings import resolve

Cameras = Literal["auto", "landmarks", "colmap"]


def capture(
    footage: Annotated[
        list[Path], typer.Argument(help="A video, several of one person, a folder of photos or of frames with transforms.json.")
    ],
    out: Out,
    cameras: Annotated[Cameras | None, typer.Option(help="Where cameras come from.")] = None,
    mattes: Annotated[str | None, typer.Option(help="Who cuts the person out: mediapipe or a rembg model.")] = None,
    changes: Set = None,
    settings: SettingsFile = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn footage into a capture: frames, mattes, cameras, aligned crops."""
    from pipelines.capture import CaptureSettings
    from pipelines.capture import capture as make

    flags = chosen(cameras__method=cameras, mattes__model=mattes)
    asked = resolve(CaptureSettings(), file=settings, stage="capture", assignments=[*(changes or []), *flags])
    console().report(make(footage, out, asked, progress=console(), overwrite=overwrite))
