"""The whole way: footage and a driver in, a capture, an avatar and a driven video out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.capture import CaptureSettings, capture
from pipelines.capture.footage.source import open_footage
from pipelines.core.errors import UnusableMaterial
from pipelines.core.stage import Progress, Report
from pipelines.drive import DriveSettings, drive
from pipelines.drive.motion.driver_files import NUMBERS, open_driver
from pipelines.face.tracker import FaceTracker
from pipelines.media.video import probe, read_frames
from pipelines.provenance.consent import attach
from pipelines.train import TrainSettings, train

DRIVE_SHARE = 0.15
DRIVE_FRAME_S, DRIVE_START_S = 0.08, 10.0
"""Kept for the driven video: seconds for each frame and for the start (two CPU cores), at most a share of the budget."""
LOOKS = 24
"""Frames of the driver that are looked at for a face before the long work begins."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Settings of the three stages."""

    capture: CaptureSettings = field(default_factory=CaptureSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    drive: DriveSettings = field(default_factory=DriveSettings)


def run(
    video: Path, driver: Path, out: Path, settings: RunSettings, *, progress: Progress, device: str, overwrite: bool = False,
    consent: Mapping[str, Any] | None = None,
) -> tuple[Report, Report, Report]:  # fmt: skip
    """Reports of capture, training and driving; finished stages of an earlier call are taken as they are.

    `settings.train.budget_s` is meant for the whole way: training gets what capture, as recorded when it ran, and the time kept
    for driving leave of it. `consent` is a record of pipelines.provenance.consent.
    """
    if video.is_dir():  # photos, or frames with cameras
        open_footage([video], settings.capture.frames.longest_side_px)
    else:
        probe(video)
    filmed = driver.suffix.lower() not in NUMBERS
    kept_s = DRIVE_START_S + DRIVE_FRAME_S * (
        check_driver(driver) if filmed else open_driver(driver, settings.drive.track).count
    )
    shared: Any = {"progress": progress, "overwrite": overwrite}
    captured = capture(video, out / f"{video.stem}.capture", settings.capture, **shared)
    if consent:
        attach(captured.out, consent)
    spent_s = sum(captured.seconds.values()) + min(kept_s, DRIVE_SHARE * (settings.train.budget_s or 0.0))
    trained = train(captured.out, out / f"{video.stem}.avatar", settings.train, device=device, spent_s=spent_s, **shared)
    driven = drive(trained.out, driver, out / f"{driver.stem}.mp4", settings.drive, device=device, **shared)
    return captured, trained, driven


def check_driver(driver: Path) -> int:
    """The number of its frames; UnusableMaterial when none of a few spread over it shows a face."""
    frames = probe(driver).frames
    looked_at = {frames * number // LOOKS for number in range(LOOKS)}
    with FaceTracker(video=False) as tracker:
        if not any(tracker.track(frame.image) for frame in read_frames(driver, indices=looked_at, longest_side_px=1280)):
            raise UnusableMaterial(f"no face was found in the driver {driver.name}; film one person who faces the camera.")
    return frames
