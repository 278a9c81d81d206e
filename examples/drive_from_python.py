"""Drive an avatar from Python: one avatar, several drivers, calmer gaze, in front of a color.

python examples/drive_from_python.py anna.avatar out driver1.mp4 driver2.mp4
"""

import sys
from dataclasses import replace
from pathlib import Path

from pipelines.core.stage import Report, Silent
from pipelines.drive import DriveSettings, drive


def drive_all(avatar: Path, out: Path, drivers: list[Path]) -> list[Report]:
    """One video a driver; a second call finds them made."""
    settings = DriveSettings(background="#f4efe6", view="driver")
    settings = replace(settings, retarget=replace(settings.retarget, gaze=0.6))
    return [drive(avatar, video, out / f"{video.stem}.mp4", settings, Silent(), device="cpu") for video in drivers]


if __name__ == "__main__":
    avatar, out, *drivers = map(Path, sys.argv[1:])
    for report in drive_all(avatar, out, drivers):
        print(report.out, report.status, report.figures)
