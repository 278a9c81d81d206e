"""`avatarcli track`: a video's motion as a file that drives any avatar."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from avatarcli.console import console
from avatarcli.options import Out, Overwrite, Set, SettingsFile, assignments_of
from avatarcli.settings import resolve

Space = Literal["measured", "blendshapes"]


def track(
    driver: Annotated[Path, typer.Argument(help="A video, or a CSV or coefficients to convert.", show_default=False)],
    out: Out,
    csv: Annotated[
        bool, typer.Option("--csv", help="Also write a Live Link Face CSV next to it (or write one alone with -o TAKE.csv).")
    ] = False,
    space: Annotated[
        Space | None, typer.Option(help="Expression channels: measured from landmarks, or mediapipe's 52 blendshapes.")
    ] = None,
    changes: Set = None,
    settings: SettingsFile = None,
    overwrite: Overwrite = False,
) -> None:
    """Track a driver once: write expressions and head poses as a .track, or as a .csv for other tools."""
    from pipelines.drive.motion.record_track import TakeSettings, take

    flags = assignments_of(space=space, csv="exact" if csv else None)
    asked = resolve(TakeSettings(), file=settings, stage="track", assignments=[*flags, *(changes or [])])
    console().report(take(driver, out, asked, progress=console(), overwrite=overwrite))
