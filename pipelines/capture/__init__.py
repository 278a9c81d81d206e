"""Capture: footage of a person -> frames, mattes, cameras, aligned crops of which some are held out."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.prior import Prior, load_prior
from pipelines.capture.cameras import solve
from pipelines.capture.cameras.candidate import CameraSettings, Candidate
from pipelines.capture.dataset import alignment, quality, records
from pipelines.capture.dataset.alignment import AlignmentSettings
from pipelines.capture.dataset.crops import DatasetSettings, contact_sheet, crops_of, write_crops
from pipelines.capture.footage import transforms_json, undistort
from pipelines.capture.footage.lens import Lens
from pipelines.capture.footage.orientation import upright
from pipelines.capture.footage.source import Footage, open_footage
from pipelines.capture.frames import back_of_head, extract, landmark_agreement, scan, selection
from pipelines.capture.frames.landmark_agreement import OpinionSettings
from pipelines.capture.frames.scan import FrameSettings, Scan
from pipelines.capture.mattes import person
from pipelines.capture.mattes.person import MatteSettings
from pipelines.capture.page import capture_report
from pipelines.core.errors import SettingError
from pipelines.core.files import read_json, write_text
from pipelines.core.stage import (
    Progress,
    Report,
    Silent,
    is_file_output,
    run_stage,
    step,
    warn_in_record,
)
from pipelines.face.expression import RIGID

VERSION = 2


@dataclass(frozen=True, kw_only=True)
class CaptureSettings:
    frames: FrameSettings = field(default_factory=FrameSettings)
    mattes: MatteSettings = field(default_factory=MatteSettings)
    cameras: CameraSettings = field(default_factory=CameraSettings)
    alignment: AlignmentSettings = field(default_factory=AlignmentSettings)
    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    opinions: OpinionSettings = field(default_factory=OpinionSettings)
    prior: str = "quick"
    """The base generator whose head space the capture is aligned to: a shipped name or a folder."""
    seed: int = 0
    """Of COLMAP."""


def capture(
    footage: Path | Sequence[Path], out: Path, settings: CaptureSettings | None = None, progress: Progress | None = None,
    overwrite: bool = False,
) -> Report:  # fmt: skip
    """The capture folder `out` of one person, or the one already there when nothing has changed.

    `footage` is a video, several videos, a folder of photos, or one of frames with cameras (transforms.json).
    UnusableMaterial says what to film when it will not do; a run that was killed continues where it stopped.
    """
    settings, progress = settings or CaptureSettings(), progress or Silent()
    if is_file_output(out):
        raise SettingError(f"{out} looks like a video, but a capture is a folder; choose a name such as -o me.capture.")
    person.check_model(settings.mattes)
    paths = [footage] if isinstance(footage, Path) else list(footage)
    prior, opened = load_prior(settings.prior), open_footage(paths, settings.frames.longest_side_px)
    inputs = {**opened.inputs, "prior": prior.folder / "landmarks.npz"}
    return run_stage(
        "capture", version=VERSION, inputs=inputs, settings=asdict(settings), out=out,
        work=lambda partial: _work(partial, opened, prior, settings, progress), overwrite=overwrite,
    )  # fmt: skip


def _work(partial: Path, footage: Footage, prior: Prior, settings: CaptureSettings, progress: Progress) -> dict[str, Any]:
    """The steps in order; what they hand on lies in partial/work, so that a killed run continues."""
    if (partial / "steps" / "records.json").exists():
        return _tidied(partial)
    footage = upright(partial, footage, settings.frames.longest_side_px)
    scanned = step(partial, "scan", lambda: extract.scan(partial, footage, settings.frames, progress))
    seen, info = scan.load_scan(partial), footage.info
    chosen = _chosen(seen, footage, prior, settings)
    is_given = bool(footage.views) and settings.cameras.method == "auto"
    if is_given:
        step(partial, "given", lambda: transforms_json.solve(partial, chosen, footage.views, info.size, prior, progress))
        chosen = transforms_json.completed(partial, chosen)
    step(partial, "frames", lambda: extract.extract(partial, footage, chosen, progress))
    unseen = back_of_head.wanted(seen, chosen, is_given)
    step(partial, "faceless", lambda: extract.extract(partial, footage, unseen, progress))
    matted = step(partial, "mattes", lambda: person.matte_frames(partial, chosen, settings.mattes, progress))
    camera, solved = _cameras(partial, chosen, footage, prior, settings, progress, is_given, unseen)
    if lens := Lens(k1=solved.k1, focal_px=solved.focal_px, size=footage.info.size):
        step(partial, "lens", lambda: undistort.straighten(partial, footage, chosen, unseen, lens, progress))
        chosen = lens.points(chosen)
    aligned = alignment.align(solved.points, prior.landmarks[RIGID], settings.alignment)
    chosen, solved = back_of_head.joined(chosen, unseen, solved, aligned, prior.landmarks, info.size)
    if len(solved.faceless):
        matted = step(partial, "mattes_faceless", lambda: person.matte_frames(partial, chosen, settings.mattes, progress))
    asked = step(partial, "opinions", lambda: landmark_agreement.ask(partial, chosen, prior, settings.opinions, progress))
    good = np.flatnonzero(solved.confidence > 0)
    poses = aligned.camera_from_head(solved.camera_from_world[good])
    used, crops = chosen.rows(good), crops_of(poses, solved.focal_px, info.size, prior.crop_extent)
    step(partial, "crops", lambda: write_crops(partial, used, crops, prior, settings.dataset, progress))

    def write_records() -> dict[str, Any]:
        certain = np.array(matted["confidence"])[good]
        confidence = solved.confidence[good] * landmark_agreement.trust(partial)[good]
        weight = confidence * person.trust(certain)
        counts = records.write_dataset(partial, footage, used, crops, weight, certain, settings.dataset)
        dropped = extract.dropped(back_of_head.left(seen, used)) + extract.dropped(
            chosen.rows(np.flatnonzero(solved.confidence == 0)), "pose failed"
        )
        records.write_transforms(partial, used, crops, confidence, dropped)
        records.write_tracking(partial, used, crops, prior)
        known = {"faces_found_by": extract.found_by(seen), "second_opinion": asked["said"]}
        records.write_capture(partial, footage, prior, camera, solved, aligned, known, settings)
        names = [scan.frame_name(index) for index in used.index]
        contact_sheet(partial, names)
        alignment.overlay(partial, names, used.points, poses, prior.landmarks, solved.focal_px, crops.box)
        figures = quality.figures_of(seen, used, crops) | counts | quality.of_cameras(solved, aligned, matted) | known
        for sentence in [*extract.remarks(seen, scanned, footage), *quality.sentences(figures)]:
            progress.warn(sentence)
            warn_in_record(partial, sentence)
        write_text(partial / "report.html", capture_report(partial))
        return figures

    step(partial, "records", write_records)
    return _tidied(partial)


def _chosen(seen: Scan, footage: Footage, prior: Prior, settings: CaptureSettings) -> Scan:
    """The frames to work with; of frames with given cameras all are wanted, also those that show no face."""
    still = footage.kind != "video"
    rows = selection.choose(seen, settings.frames, footage.info.path.name, prior.landmarks, still) if not footage.views else (
        np.unique(np.linspace(0, len(seen.index) - 1, settings.frames.max_frames).round().astype(int))
    )  # fmt: skip
    return seen.rows(rows)


def _cameras(
    partial: Path, chosen: Scan, footage: Footage, prior: Prior, settings: CaptureSettings, progress: Progress, is_given: bool,
    unseen: Scan,
) -> tuple[dict[str, Any], Candidate]:  # fmt: skip
    """Figures and poses: the given ones, or those that are found, from the focal length that the metadata say."""
    if is_given:
        return read_json(partial / "steps" / "given.json")["figures"], transforms_json.load_candidate(partial)
    info, asked = footage.info, settings.cameras
    if info.focal_px:
        asked = replace(asked, focal_prior=float(np.clip(info.focal_px / max(info.size), *asked.focal_range)))
    if footage.kind != "video":
        asked = replace(asked, follow_surface=False)
    extra = tuple(int(index) for index in unseen.index)
    camera = step(partial, "cameras", lambda: solve.solve(partial, chosen, info, prior, asked, settings.seed, progress, extra))
    return camera, solve.load_cameras(partial, camera)


def _tidied(partial: Path) -> dict[str, Any]:
    """Without the work folder and the frames whose pose failed; the figures of the last step."""
    kept = {item["file_path"] for item in read_json(partial / "transforms.json")["frames"]}
    for path in (partial / "frames").glob("*.jpg"):
        if f"frames/{path.name}" not in kept:
            path.unlink()
    shutil.rmtree(partial / "work", ignore_errors=True)
    return read_json(partial / "steps" / "records.json")["figures"]
