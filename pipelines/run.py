"""The whole way: footage and a driver in, a capture, an avatar and a driven video out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.capture import CaptureSettings, capture
from pipelines.capture.footage.source import open_footage
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.stage import Progress, Report
from pipelines.drive import DriveSettings, drive
from pipelines.drive.motion.driver_files import NUMBERS, open_driver
from pipelines.face.tracker import FaceTracker
from pipelines.media.video import probe, read_frames
from pipelines.provenance.consent import attach
from pipelines.train import TrainSettings, train
from pipelines.train.budget import FIXED_S, labeling_s

DRIVE_SHARE = 0.25
DRIVE_FRAME_S, DRIVE_START_S = 0.2, 10.0
"""Kept for the driven video: seconds for each frame and for the start (two CPU cores), at most a share of the budget."""
CAPTURE_SHARE, LEAST_CAPTURE_S = 0.4, 60.0
"""Most of a budget that capture may use for COLMAP's sake, and what a usual clip takes without COLMAP (two CPU cores)."""
TRAIN_SHARE = 0.25
"""Least of a budget that is trained in, however slow the capture was."""
SHORTEST_CAPTURE_S, SHORTEST_TRAINING_S = 20.0, 15.0
"""In less nobody gets an avatar."""
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

    `settings.train.budget_s` is meant for the whole way: capture has its share, in which COLMAP gets what the rest leaves;
    training gets what capture, as recorded when it ran, and the time kept for driving leave of it. SettingError, before any
    work, when it is too short for an avatar. `consent` is a record of pipelines.provenance.consent.
    """
    avatar, budget_s = out / f"{video.stem}.avatar", budget_of(settings.train)
    if video.is_dir():  # photos, or frames with cameras
        open_footage([video], settings.capture.frames.longest_side_px)
    else:
        probe(video)
    filmed = driver.suffix.lower() not in NUMBERS
    kept_s = DRIVE_START_S + DRIVE_FRAME_S * (
        check_driver(driver) if filmed else open_driver(driver, settings.drive.track).count
    )
    kept_s = 0.0 if budget_s is None else min(kept_s, DRIVE_SHARE * budget_s)
    made = avatar.exists()
    if budget_s is not None and not made:
        insist_on_time(budget_s, kept_s)
    shared: Any = {"progress": progress, "overwrite": overwrite}
    captured = capture(video, out / f"{video.stem}.capture", settings.capture, limit_s=capture_limit_s(budget_s), **shared)
    if consent:
        attach(captured.out, consent)
    spent_s = sum(captured.seconds.values()) + kept_s
    if budget_s is not None and not made and spent_s > (1 - TRAIN_SHARE) * budget_s:
        spent_s = (1 - TRAIN_SHARE) * budget_s
        progress.warn(f"capture took most of the budget of {budget_s:.0f} s on this machine; the whole will take longer.")
    trained = train(captured.out, avatar, settings.train, device=device, spent_s=spent_s, **shared)
    driven = drive(trained.out, driver, out / f"{driver.stem}.mp4", settings.drive, device=device, **shared)
    return captured, trained, driven


def budget_of(settings: TrainSettings) -> float | None:
    """Seconds for the whole way; None where the steps are given, or no limit."""
    return settings.budget_s if settings.finetune.steps is None else None


def capture_limit_s(budget_s: float | None) -> float:
    """Seconds of a budget that capture is to end within."""
    return math.inf if budget_s is None else max(CAPTURE_SHARE * budget_s, LEAST_CAPTURE_S)


def insist_on_time(budget_s: float, kept_s: float) -> None:
    """SettingError for a budget in which no machine makes an avatar and drives it, for which `kept_s` seconds are kept."""
    rest_s = SHORTEST_CAPTURE_S + FIXED_S + labeling_s(budget_s) + kept_s
    if budget_s < rest_s + SHORTEST_TRAINING_S:
        raise SettingError(
            f"a budget of {budget_s:.0f} s is too short for an avatar: capture, pairs, evaluation and driving take "
            f"{rest_s:.0f} s of it at least; give --budget 3m or more."
        )


def check_driver(driver: Path) -> int:
    """The number of its frames; UnusableMaterial when none of a few spread over it shows a face."""
    frames = probe(driver).frames
    looked_at = {frames * number // LOOKS for number in range(LOOKS)}
    with FaceTracker(video=False) as tracker:
        if not any(tracker.track(frame.image) for frame in read_frames(driver, indices=looked_at, longest_side_px=1280)):
            raise UnusableMaterial(f"no face was found in the driver {driver.name}; film one person who faces the camera.")
    return frames
