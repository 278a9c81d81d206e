"""`avatarcli capture`: footage becomes a folder of aligned, matted crops with cameras."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from avatarcli.console import console
from avatarcli.options import Consent, Overwrite, Set, SettingsFile, assignments_of
from avatarcli.settings import resolve
from pipelines.core.errors import SettingError, UnusableMaterial

if TYPE_CHECKING:
    from pipelines.capture.check.check import Check

PAGE_MARK, CHECK_MARK = b'<meta name="generator" content="avatarcli">', b'"verdict":'
"""How what --check leaves is known again."""
Cameras = Literal["auto", "landmarks", "colmap"]


def capture(
    footage: Annotated[
        list[Path] | None,
        typer.Argument(help="One or more videos of one person, a folder of photos, or frames with transforms.json."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Path of the result.", show_default=False)] = None,
    cameras: Annotated[Cameras | None, typer.Option(help="How to find the camera poses.")] = None,
    mattes: Annotated[str | None, typer.Option(help="What cuts the person out: mediapipe or a rembg model.")] = None,
    changes: Set = None,
    settings: SettingsFile = None,
    overwrite: Overwrite = False,
    consent: Consent = None,
    check: Annotated[bool, typer.Option("--check", help="Check the footage only; do not capture.")] = False,
    guide: Annotated[bool, typer.Option("--guide", help="Print how to film, and stop.")] = False,
) -> None:
    """Turn footage into a capture: frames, mattes, cameras."""
    if guide:
        _guide()
        return
    if not footage:
        raise SettingError("capture needs a video; see `avatarcli capture --guide` for how to film one.")
    if check:
        _check(footage, out)
        return
    if out is None:
        raise SettingError("capture needs -o FOLDER for its result.")
    from pipelines.capture import CaptureSettings
    from pipelines.capture import capture as make
    from pipelines.provenance.consent import attach, consent_of

    given = consent_of(consent) if consent is not None else None
    flags = assignments_of(cameras__method=cameras, mattes__model=mattes)
    asked = resolve(CaptureSettings(), file=settings, stage="capture", assignments=[*(changes or []), *flags])
    report = make(footage, out, asked, progress=console(), overwrite=overwrite)
    if given:
        attach(report.out, given)
    console().report(report)


def _guide() -> None:
    from pipelines.capture.check.guide import guide, record

    console().result({"status": "done", "guide": record()}, guide())


def _check(footage: list[Path], out: Path | None) -> None:
    """Exit code 0 for good and for usable footage, 4 for unusable."""
    from pipelines.capture.check.check import check

    if out is not None:
        page_of(out)  # before the work
    found = check(footage, progress=console())
    pages = {} if out is None else {"out": str(write_check(found, out))}
    console().coverage(found.coverage.record())
    console().movements(found.movements)
    for advice in found.advice:
        console().advise(advice["weight"], advice["say"])
    console().result({**found.record(), **pages}, found.verdict)
    if found.verdict == "unusable":
        raise typer.Exit(UnusableMaterial.exit_code)


def page_of(out: Path) -> Path:
    """Where the page goes: `out` itself where it ends in .html, else report.html in the folder.

    SettingError when it, or check.json beside it, would replace a file that this command has not written.
    """
    page = out if out.suffix.lower() == ".html" else out / "report.html"
    for path, mark in ((page, PAGE_MARK), (out / "check.json", CHECK_MARK)):
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file() or mark not in path.read_bytes()[:500]):
            raise SettingError(f"{path} was not made by avatarcli and would be replaced; choose another -o.")
    return page


def write_check(found: "Check", out: Path) -> Path:
    """check.json and report.html in the folder `out`, or the page alone where `out` ends in .html; the page's path."""
    from pipelines.capture.page import check_report
    from pipelines.core.files import write_json, write_text

    page = page_of(out)
    if page != out:
        write_json(out / "check.json", found.record())
    write_text(page, check_report(found.record(), found.faces))
    return page
