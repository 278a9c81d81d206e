"""`avatarcli run`: footage and a driver in, a driven video out."""

from pathlib import Path
from typing import Annotated

import typer

from avatarcli.console import console, report_json
from avatarcli.options import (
    DEFAULT_PRESET,
    Budget,
    Consent,
    Device,
    Memory,
    OnDevice,
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
from avatarcli.settings import resolve, with_prefixes


def run(
    video: Annotated[Path, typer.Argument(help="Footage of the person who becomes an avatar.", show_default=False)],
    driver: Annotated[Path, typer.Option("--drive", help="The driver: footage of anybody.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.", show_default=False)],
    preset_name: Preset = None,
    budget: Budget = None,
    memory: Memory = None,
    consent: Consent = None,
    changes: Set = None,
    settings: SettingsFile = None,
    device: OnDevice = Device.auto,
    overwrite: Overwrite = False,
) -> None:
    """Do everything: capture, train and drive, from footage to the driven video."""
    named = {"train__budget_s": seconds(budget), "train__memory_gb": gigabytes(memory)}
    from pipelines.provenance.consent import consent_of
    from pipelines.run import RunSettings
    from pipelines.run import run as make
    from pipelines.train import PRESETS

    base = RunSettings(train=preset(PRESETS, preset_name or DEFAULT_PRESET))
    asked = resolve(base, file=settings, assignments=[*with_prefixes(base, changes or []), *assignments_of(**named)])
    given = consent_of(consent) if consent is not None else None
    reports = make(
        video, driver, out, asked, progress=console(), device=pick_device(device), overwrite=overwrite, consent=given
    )
    for report in reports:
        console().finished(report)
    console().say(console().evaluation(reports[1].figures.get("evaluation", {})))
    stages = [report_json(report) for report in reports]
    console().result({"status": reports[-1].status, "out": str(reports[-1].out), "stages": stages}, str(reports[-1].out))
