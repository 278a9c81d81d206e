"""`avatarcli drive`: a video of anybody animates an avatar."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from avatarcli.console import console, report_json
from avatarcli.options import MORE, Device, OnDevice, Overwrite, Set, SettingsFile, assignments_of, pick_device
from avatarcli.settings import resolve
from avatarcli.train import Torso
from pipelines.core.errors import SettingError

if TYPE_CHECKING:
    from pipelines.drive import DriveSettings

Driver = Annotated[
    Path,
    typer.Option("--video", help="The driver: a video, Live Link CSV or .track file, or a folder of them.", show_default=False),
]
Result = Annotated[Path | None, typer.Option("--out", "-o", help="Path of the result; with --live, of a recording.")]
Live = Annotated[bool, typer.Option("--live", help="Drive live from a camera (--video 0), or from a file in real time.")]
Neutral = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Time at which the driver's face is neutral.", show_default="detected")
]
View = Annotated[str | None, typer.Option(help="Camera: driver, still, orbit, turntable or a camera path (CSV).")]
Background = Annotated[
    str | None, typer.Option(help="own, '#808080', an image, a video, blur or transparent.", show_default="own")
]
Shown = Literal["head", "bust", "source"]
Aspect = Literal["1:1", "4:5", "9:16", "16:9"]
Frame = Annotated[Shown | None, typer.Option(help="What to show: head, bust or the film's own frame.", show_default="head")]
Shape = Annotated[Aspect | None, typer.Option(help="Width to height of the picture.", show_default="1:1")]


def drive(
    avatar: Annotated[Path, typer.Argument(help="A folder made by `avatarcli train`.", show_default=False)],
    video: Driver,
    out: Result = None,
    view: View = None,
    background: Background = None,
    neutral: Neutral = None,
    frame: Frame = None,
    aspect: Shape = None,
    size: Annotated[int | None, typer.Option(help="Shorter side of the picture in pixels.", show_default="512")] = None,
    side_by_side: Annotated[bool, typer.Option("--side-by-side", help="Show the driver next to the avatar.")] = False,
    live: Live = False,
    changes: Set = None,
    device: OnDevice = Device.auto,
    settings: SettingsFile = None,
    torso: Annotated[
        Torso | None, typer.Option(help="How to show the shoulders behind the head.", rich_help_panel=MORE)
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Animate an avatar with a video or with recorded motion."""
    from pipelines.drive import DriveSettings

    shown = assignments_of(
        view=view, background=background, frame=frame, aspect=aspect, torso=torso, size=size, side_by_side=side_by_side or None
    )
    flags = [*shown, *assignments_of(retarget__neutral_s=neutral)]
    asked = resolve(DriveSettings(), file=settings, stage="drive", assignments=[*(changes or []), *flags])
    rest: dict[str, Any] = {"progress": console(), "device": pick_device(device), "overwrite": overwrite}
    if live:
        _live(avatar, str(video), out, asked, rest)
        return
    if out is None:
        raise SettingError("drive needs -o for its result; only --live works without.")
    _recorded(avatar, video, out, asked, rest)


def _live(avatar: Path, driver: str, out: Path | None, settings: "DriveSettings", rest: dict[str, Any]) -> None:
    from pipelines.drive.live.session import live

    figures = live(avatar, driver, out, settings, **rest)
    console().result({"status": "done", "out": str(out) if out else None, "figures": figures}, str(out) if out else "")


def _recorded(avatar: Path, video: Path, out: Path, settings: "DriveSettings", rest: dict[str, Any]) -> None:
    from pipelines.drive import drive, drive_all

    if not video.is_dir():
        console().report(drive(avatar, video, out, settings, **rest))
        return
    reports = drive_all(avatar, video, out, settings, **rest)
    console().result({"status": reports[-1].status, "out": str(out), "videos": [report_json(one) for one in reports]}, str(out))
