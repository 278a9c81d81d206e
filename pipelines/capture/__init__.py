"""Capture: footage of a person -> frames, mattes, cameras, aligned crops with a held-out end."""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.capture import alignment, cameras, dataset, frames, mattes, quality, records
from pipelines.capture.alignment import AlignmentSettings
from pipelines.capture.dataset import DatasetSettings
from pipelines.capture.frames import FrameSettings
from pipelines.capture.mattes import MatteSettings
from pipelines.capture.poses import CameraSettings
from pipelines.face_fit import RIGID
from pipelines.files import read_json, write_text
from pipelines.priors import Prior, load_prior
from pipelines.report import capture_report
from pipelines.stage import Progress, Report, Silent, run_stage, step, warn_in_record
from pipelines.video import VideoInfo, probe

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class CaptureSettings:
    frames: FrameSettings = field(default_factory=FrameSettings)
    mattes: MatteSettings = field(default_factory=MatteSettings)
    cameras: CameraSettings = field(default_factory=CameraSettings)
    alignment: AlignmentSettings = field(default_factory=AlignmentSettings)
    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    prior: str = "quick"
    """The base generator whose head space the capture is aligned to: a shipped name or a folder."""
    seed: int = 0
    """Of COLMAP."""


def capture(
    video: Path, out: Path, settings: CaptureSettings | None = None, progress: Progress | None = None, overwrite: bool = False
) -> Report:
    """The capture folder `out` of one person's video, or the one already there when nothing has changed.

    UnusableMaterial says what to film when the footage will not do; a run that was killed continues where it stopped.
    """
    settings, progress = settings or CaptureSettings(), progress or Silent()
    prior, info = load_prior(settings.prior), probe(video)
    return run_stage(
        "capture", version=VERSION, inputs={"video": video, "prior": prior.folder / "landmarks.npz"}, settings=asdict(settings),
        out=out, work=lambda partial: _work(partial, info, prior, settings, progress), overwrite=overwrite,
    )  # fmt: skip


def _work(partial: Path, info: VideoInfo, prior: Prior, settings: CaptureSettings, progress: Progress) -> dict[str, Any]:
    """The steps in order; what they hand on lies in partial/work, so that a killed run continues."""
    if (partial / "steps" / "records.json").exists():
        return _tidied(partial)
    step(partial, "scan", lambda: frames.scan(partial, info, settings.frames, progress))
    seen = frames.load_scan(partial)
    chosen = seen.rows(frames.choose(seen, settings.frames, info.path.name))
    step(partial, "frames", lambda: frames.extract(partial, info, chosen, progress))
    matted = step(partial, "mattes", lambda: mattes.matte_frames(partial, chosen, settings.mattes, progress))
    camera = step(
        partial, "cameras", lambda: cameras.solve(partial, chosen, info, prior, settings.cameras, settings.seed, progress)
    )
    solved = cameras.load_cameras(partial, camera)
    aligned = alignment.align(solved.points, prior.landmarks[RIGID], settings.alignment)
    good = np.flatnonzero(solved.confidence > 0)
    poses = aligned.camera_from_head(solved.camera_from_world[good])
    used, crops = chosen.rows(good), dataset.crops_of(poses, solved.focal_px, info.size, prior.crop_extent)
    step(partial, "crops", lambda: dataset.write_crops(partial, used, crops, prior, settings.dataset, progress))

    def write_records() -> dict[str, Any]:
        confidence = solved.confidence[good]
        counts = records.write_dataset(partial, used, crops, confidence, settings.dataset)
        dropped = frames.dropped(seen) + frames.dropped(chosen.rows(np.flatnonzero(solved.confidence == 0)), "pose failed")
        records.write_transforms(partial, used, crops, confidence, dropped)
        records.write_tracking(partial, used, crops, prior)
        records.write_capture(partial, info, prior, camera, solved, aligned, settings)
        names = [frames.frame_name(index) for index in used.index]
        dataset.contact_sheet(partial, names)
        alignment.overlay(partial, names, used.points, poses, prior.landmarks, solved.focal_px, crops.box)
        figures = quality.figures_of(seen, used, crops) | counts | quality.of_cameras(solved, aligned, matted)
        for sentence in quality.sentences(figures):
            progress.warn(sentence)
            warn_in_record(partial, sentence)
        write_text(partial / "report.html", capture_report(partial))
        return figures

    step(partial, "records", write_records)
    return _tidied(partial)


def _tidied(partial: Path) -> dict[str, Any]:
    """Without the work folder and the frames whose pose failed; the figures of the last step."""
    kept = {item["file_path"] for item in read_json(partial / "transforms.json")["frames"]}
    for path in (partial / "frames").glob("*.jpg"):
        if f"frames/{path.name}" not in kept:
            path.unlink()
    shutil.rmtree(partial / "work", ignore_errors=True)
    return read_json(partial / "steps" / "records.json")["figures"]
