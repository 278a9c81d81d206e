"""Capture: footage of a person -> frames, full mattes and cameras in the metric head frame; some frames are held out.

A capture belongs to the person and names no generator: crops and mattes of a family's head frame are cut when it is trained
(pipelines.artifacts.dataset_view).
"""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from pipelines.artifacts.crops import PORTRAIT, Crops
from pipelines.capture.cameras import solve
from pipelines.capture.cameras.candidate import CameraSettings, Candidate
from pipelines.capture.dataset import alignment, quality, records
from pipelines.capture.dataset.alignment import Alignment, AlignmentSettings
from pipelines.capture.dataset.contact_sheet import contact_sheet
from pipelines.capture.dataset.filmed_movements import filmed_movements
from pipelines.capture.dataset.records import DatasetSettings, Kept
from pipelines.capture.footage import transforms_json, undistort
from pipelines.capture.footage.lens import Lens
from pipelines.capture.footage.orientation import upright
from pipelines.capture.footage.source import Footage, open_footage
from pipelines.capture.frames import back_of_head, extract, landmark_agreement, scan
from pipelines.capture.frames.landmark_agreement import LandmarkAgreementSettings
from pipelines.capture.frames.scan import FrameSettings, Scan
from pipelines.capture.frames.selection import select_frames
from pipelines.capture.mattes import person, whole_frame
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
    step_seconds,
    warn_in_record,
)
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import RIGID

VERSION = 3
AFTERWARDS = 0.4
"""Seconds of the steps after the cameras for each one of those before, at most: 0.1 to 0.5 measured, most for short clips."""


@dataclass(frozen=True, kw_only=True)
class CaptureSettings:
    frames: FrameSettings = field(default_factory=FrameSettings)
    mattes: MatteSettings = field(default_factory=MatteSettings)
    cameras: CameraSettings = field(default_factory=CameraSettings)
    alignment: AlignmentSettings = field(default_factory=AlignmentSettings)
    dataset: DatasetSettings = field(default_factory=DatasetSettings)
    landmark_agreement: LandmarkAgreementSettings = field(default_factory=LandmarkAgreementSettings)
    seed: int = 0
    """Of COLMAP."""

    RETIRED: ClassVar[Mapping[str, str]] = {
        "prior": "a capture belongs to the person and fits every prior; choose the prior for train",
        "alignment.max_rms_units": "use alignment.max_rms_m, in metres (a unit was 0.32 m)",
        "opinions": "use landmark_agreement, which has the same settings",
        "dataset.crop_size": "crops are cut at the size of the network when an avatar is trained",
        **dict.fromkeys(
            (f"dataset.{name}_units" for name in ("neck_full", "neck_zero", "shoulder_height", "shoulder_distance")),
            "mattes are cut to the head when an avatar is trained",
        ),
    }
    """Settings and groups that earlier versions had, and what to do instead."""


def capture(
    footage: Path | Sequence[Path], out: Path, settings: CaptureSettings | None = None, progress: Progress | None = None,
    overwrite: bool = False, limit_s: float = math.inf,
) -> Report:  # fmt: skip
    """The capture folder `out` of one person, or the one already there when nothing has changed.

    `footage` is a video, several videos, a folder of photos, or one of frames with cameras (transforms.json).
    UnusableMaterial says what to film when it will not do; a run that was killed continues where it stopped.
    Within `limit_s` seconds of this machine COLMAP gets what the other steps leave; it is no setting: a capture that is there
    is taken, however much time it had. Where COLMAP had too little, that is said again.
    """
    settings, progress = settings or CaptureSettings(), progress or Silent()
    if is_file_output(out):
        raise SettingError(f"{out} looks like a video, but a capture is a folder; choose a name such as -o me.capture.")
    person.check_model(settings.mattes)
    paths = [footage] if isinstance(footage, Path) else list(footage)
    opened = open_footage(paths, settings.frames.longest_side_px)
    report = run_stage(
        "capture", version=VERSION, inputs=opened.inputs, settings=asdict(settings), out=out,
        work=lambda partial: _work(partial, opened, settings, progress, limit_s), overwrite=overwrite,
    )  # fmt: skip
    late = next((said for said in report.warnings if said.startswith(solve.LATE)), "")
    if late and report.status == "unchanged":
        progress.warn(f"{out} was made within a time limit and is taken as it is: {late}")
    return report


@dataclass(frozen=True, kw_only=True)
class Task:
    """One capture: what is captured how, and where its files lie."""

    partial: Path
    footage: Footage
    settings: CaptureSettings
    progress: Progress
    limit_s: float = math.inf
    """For the whole capture."""

    @property
    def size(self) -> tuple[int, int]:
        return self.footage.info.size

    @property
    def cameras_are_given(self) -> bool:
        return bool(self.footage.views) and self.settings.cameras.method == "auto"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What was looked at, and what of it is worked with."""

    seen: Scan
    selected: Scan
    faceless: Scan
    """Frames that show no face and may get a pose."""


@dataclass(frozen=True, kw_only=True)
class Solved:
    """Frames with their cameras."""

    frames: Scan
    cameras: Candidate
    figures: dict[str, Any]
    """How the cameras were found, for capture.json."""


@dataclass(frozen=True, kw_only=True)
class Aligned(Solved):
    """Frames with their cameras, those of the back of the head too, and where the head is."""

    to_head: Alignment


def _work(partial: Path, footage: Footage, settings: CaptureSettings, progress: Progress, limit_s: float) -> dict[str, Any]:
    """The steps in order; what they hand on lies in partial/work, so that a killed run continues."""
    if not (partial / "steps" / "records.json").exists():
        footage = upright(partial, footage, settings.frames.longest_side_px)
        task = Task(partial=partial, footage=footage, settings=settings, progress=progress, limit_s=limit_s)
        selection = _select_frames(task)
        _matte(task, selection.selected, "mattes")
        aligned = _align(task, selection, _undistort(task, selection, _solve_cameras(task, selection)))
        mattes = _matte(task, aligned.frames, "mattes_faceless" if len(aligned.cameras.faceless) else "mattes")
        agreement = step(
            partial, "landmark_agreement",
            lambda: landmark_agreement.compare(partial, aligned.frames, settings.landmark_agreement, progress),
        )  # fmt: skip
        kept = _keep(task, aligned, mattes)
        step(partial, "whole_mattes", lambda: whole_frame.write_whole_mattes(partial, kept.scan, task.size, progress))
        step(partial, "records", lambda: _write_records(task, selection, aligned, kept, mattes, agreement["summary"]))
    return _tidied(partial)


def _select_frames(task: Task) -> Selection:
    """Follow the face, choose the frames and write them; with given cameras all are wanted, also those that show no face."""
    partial, footage, settings, progress = task.partial, task.footage, task.settings, task.progress
    step(partial, "scan", lambda: extract.scan(partial, footage, settings.frames, progress))
    seen = scan.load_scan(partial)
    if footage.views:
        rows = np.unique(np.linspace(0, len(seen.index) - 1, settings.frames.max_frames).round().astype(int))
    else:
        still, name = footage.kind != "video", footage.info.path.name
        trained = None if still else _trained(footage, seen, settings.dataset.held_out)
        rows = select_frames(seen, settings.frames, name, canonical_landmarks(), still, trained)
    selected = seen.rows(rows)
    if task.cameras_are_given:
        step(partial, "given", lambda: transforms_json.solve(partial, selected, footage.views, task.size, progress))
        selected = transforms_json.completed(partial, selected)
    step(partial, "frames", lambda: extract.extract(partial, footage, selected, progress))
    faceless = back_of_head.candidates(seen, selected, task.cameras_are_given)
    step(partial, "faceless", lambda: extract.extract(partial, footage, faceless, progress))
    return Selection(seen=seen, selected=selected, faceless=faceless)


def _trained(footage: Footage, seen: Scan, held_out: float) -> np.ndarray:
    """[T] bool: usable frames that will not be held out."""
    result = np.zeros(len(seen.index), bool)
    if len(seen.usable):
        result[seen.usable] = records.split_of(footage, seen.rows(seen.usable), held_out)[0] == "train"
    return result


def _matte(task: Task, frames: Scan, name: str) -> person.Mattes:
    """Mattes in the square around the head of every frame; the step `name` does what is not there yet."""
    work, settings, progress = task.partial, task.settings.mattes, task.progress
    return person.Mattes.of(step(work, name, lambda: person.matte_frames(work, frames, settings, progress)))


def _solve_cameras(task: Task, selection: Selection) -> Solved:
    """The given cameras, or those that are found, from the focal length that the metadata say."""
    partial, info, settings = task.partial, task.footage.info, task.settings.cameras
    if task.cameras_are_given:
        figures = read_json(partial / "steps" / "given.json")["figures"]
        return Solved(frames=selection.selected, cameras=transforms_json.load_candidate(partial), figures=figures)
    if info.focal_px:
        focal = float(np.clip(info.focal_px / max(info.size), *settings.focal_range))
        settings = replace(settings, focal_prior=focal)
    if task.footage.kind != "video":
        settings = replace(settings, follow_surface=False)
    extra, seed = tuple(int(index) for index in selection.faceless.index), task.settings.seed
    left_s = camera_seconds(partial, task.limit_s)
    figures = step(
        partial, "cameras", lambda: solve.solve(partial, selection.selected, info, settings, seed, task.progress, extra, left_s)
    )
    return Solved(frames=selection.selected, cameras=solve.load_cameras(partial, figures), figures=figures)


def camera_seconds(partial: Path, limit_s: float) -> float:
    """What a capture of `limit_s` seconds leaves for the cameras, from what its steps so far took on this machine."""
    return limit_s - (1 + AFTERWARDS) * sum(step_seconds(partial).values())


def _undistort(task: Task, selection: Selection, solved: Solved) -> Solved:
    """Without the lens, where one was found."""
    lens = Lens(k1=solved.cameras.k1, focal_px=solved.cameras.focal_px, size=task.size)
    if not lens:
        return solved
    step(
        task.partial, "lens",
        lambda: undistort.undistort(task.partial, task.footage, solved.frames, selection.faceless, lens, task.progress),
    )  # fmt: skip
    return replace(solved, frames=lens.points(solved.frames))


def _align(task: Task, selection: Selection, solved: Solved) -> Aligned:
    """Into the metric head frame, joined by the frames of the back of the head that have a pose."""
    to_head = alignment.align(solved.cameras.points, canonical_landmarks()[RIGID], task.settings.alignment)
    scanned, cameras = back_of_head.insert(solved.frames, selection.faceless, solved.cameras, to_head, task.size)
    return Aligned(frames=scanned, cameras=cameras, figures=solved.figures, to_head=to_head)


def _keep(task: Task, aligned: Aligned, mattes: person.Mattes) -> Kept:
    """The frames whose pose did not fail, and how much each counts."""
    cameras = aligned.cameras
    good = np.flatnonzero(cameras.confidence > 0)
    frames, matte_confidence = aligned.frames.rows(good), mattes.confidence[good]
    confidence = cameras.confidence[good] * landmark_agreement.load_confidence(task.partial)[good]
    return Kept(
        scan=frames, camera_from_head=aligned.to_head.camera_from_head(cameras.camera_from_world[good]),
        focal_px=cameras.focal_px, frame_size=task.size, camera_confidence=confidence, matte_confidence=matte_confidence,
        weight=confidence * person.matte_weight(matte_confidence),
        matte_box=np.array([whole_frame.grid_of(points, task.size).box for points in frames.points]),
    )  # fmt: skip


def _write_records(
    task: Task, selection: Selection, aligned: Aligned, kept: Kept, mattes: person.Mattes, agreement: str
) -> dict[str, Any]:
    """The files at the top of the folder and its page; the figures of the capture."""
    partial, footage, settings, cameras = task.partial, task.footage, task.settings, aligned.cameras
    portraits = Crops(
        camera_from_head=kept.camera_from_head, focal_px=kept.focal_px, frame_size=kept.frame_size, frame=PORTRAIT
    )
    counts = records.write_dataset(partial, footage, kept, settings.dataset)
    failed = aligned.frames.rows(np.flatnonzero(cameras.confidence == 0))
    dropped = extract.dropped(back_of_head.without(selection.seen, kept.scan)) + extract.dropped(failed, "pose failed")
    records.write_transforms(partial, kept, dropped)
    records.write_tracking(partial, kept)
    tracking = {"faces_found_by": extract.faces_by_finder(selection.seen), "landmark_agreement": agreement}
    movements, missing = filmed_movements(selection.seen, kept.scan, canonical_landmarks())
    known = tracking | {"movements": movements}
    records.write_capture(partial, footage, aligned.figures, cameras, aligned.to_head, known, settings)
    contact_sheet(partial)
    alignment.overlay(partial, kept.names, kept.scan.points, portraits)
    figures = quality.figures_of(selection.seen, kept.scan, portraits) | counts
    figures |= quality.of_cameras(cameras, aligned.to_head, mattes) | tracking
    scanned = read_json(partial / "steps" / "scan.json")["figures"]
    said = [*extract.remarks(selection.seen, scanned, footage), *quality.sentences(figures), missing]
    for sentence in filter(None, said):
        task.progress.warn(sentence)
        warn_in_record(partial, sentence)
    write_text(partial / "report.html", capture_report(partial))
    return figures


def _tidied(partial: Path) -> dict[str, Any]:
    """Without the work folder and the frames whose pose failed; the figures of the last step."""
    kept = {item["file_path"] for item in read_json(partial / "transforms.json")["frames"]}
    for path in (partial / "frames").glob("*.jpg"):
        if f"frames/{path.name}" not in kept:
            path.unlink()
    shutil.rmtree(partial / "work", ignore_errors=True)
    return read_json(partial / "steps" / "records.json")["figures"]
