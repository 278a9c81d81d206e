"""The face followed through the footage, and what speaks against single frames; which are kept is `capture.frames.selection`.

Notable choice: with several people in view the one who is there longest and largest is the person.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.capture.frames.scan import (
    BLACK_LEVEL,
    COLUMNS,
    FINDER_CODES,
    FINDER_NAMES,
    REASONS,
    TWO_AT_ONCE,
    FrameSettings,
    Scan,
    face_side,
    frame_name,
    reason_code,
)
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import write_arrays, write_image
from pipelines.core.stage import Progress
from pipelines.face.alignment_backend import second_detector
from pipelines.face.tracker import FaceTracker
from pipelines.media.video import VideoFrame, ahead

if TYPE_CHECKING:
    from pipelines.capture.footage.source import Footage


def scan(partial: Path, footage: "Footage", settings: FrameSettings, progress: Progress) -> dict[str, Any]:
    """Follow the face through the footage and leave a Scan in work/scan.npz; figures: how many frames were looked at."""
    rows: list[tuple[Any, ...]] = []
    damaged = 0
    still = footage.kind != "video"
    second = second_detector() if settings.second_detector else None
    every = (lambda index, time_s: True) if still else sampler(footage.info.duration_s, settings)
    with (
        progress.task("face", footage.info.frames) as task,
        FaceTracker(video=not still, second=second, largest=True) as tracker,
    ):
        for frame in ahead(footage.frames(wanted=every)):
            rows.append(_looked_at(frame, tracker))
            damaged = max(damaged, frame.damaged)
            task.advance(frame.index + 1 - (int(rows[-2][0]) + 1 if len(rows) > 1 else 0))
    if not rows:
        raise UnusableMaterial(f"no frame of {footage.info.path} can be decoded; record it again.")
    columns = dict(zip(COLUMNS, (np.array(column) for column in zip(*rows, strict=True)), strict=True))
    seen = Scan(**columns | {"reason": columns["reason"].astype(np.uint8), "finder": columns["finder"].astype(np.uint8)})
    write_arrays(partial / "work" / "scan.npz", **vars(assess_quality(seen, settings, still=still)))
    return {
        "looked_at": len(rows), "last_index": int(seen.index[-1]), "damaged": damaged, "lost": _short_of_end(footage, seen),
    }  # fmt: skip


def _short_of_end(footage: "Footage", seen: Scan) -> int:
    """Frames between the last one looked at and the end, where both their number and their time say that they are lost."""
    lost = 0
    for part in footage.parts:
        if part.info is not None:
            own = np.flatnonzero((seen.index >= part.first) & (seen.index < part.first + part.info.frames))
            step = 2 * float(np.median(np.diff(seen.index[own]))) if len(own) > 1 else 2.0
            last, time_s = (
                (int(seen.index[own[-1]]), float(seen.time_s[own[-1]])) if len(own) else (part.first - 1, part.start_s)
            )
            missing = part.first + part.info.frames - 1 - last
            late = part.start_s + part.info.duration_s - time_s
            if missing > step and late > 0.5 * missing / part.info.rate_hz:
                lost += missing
    return lost


def assess_quality(seen: Scan, settings: FrameSettings, still: bool = False) -> Scan:
    """The scan with the reasons that need more than one frame: too small, another face, too dark or bright, blurred.

    `still` pictures have no runs in which somebody is followed; whoever is largest in each is the person.
    """
    reason = seen.reason.copy()
    side = face_side(seen.points)
    reason[(reason == 0) & (side < settings.min_face_px)] = reason_code("too small")
    ok = np.flatnonzero(reason == 0)
    if not still:
        reason[ok[~_main_face(seen.rows(ok))]] = reason_code("another face")
    ok = np.flatnonzero(reason == 0)
    dark = seen.brightness[ok] < settings.min_brightness * np.median(seen.brightness[ok]) if len(ok) else np.zeros(0, bool)
    reason[ok[dark]] = reason_code("too dark")
    bright = (seen.brightness > settings.max_brightness) & (reason == 0)
    if bright.any() and np.median(seen.brightness[reason == 0]) <= settings.max_brightness:
        reason[bright] = reason_code("too bright")
    ok = np.flatnonzero(reason == 0)
    usual = np.array([np.median(seen.sharpness[ok[np.abs(seen.time_s[ok] - time) <= 1.0]]) for time in seen.time_s[ok]])
    reason[ok[seen.sharpness[ok] < settings.min_sharpness * usual]] = reason_code("blurred")
    return Scan(**{**vars(seen), "reason": reason})


def extract(partial: Path, footage: "Footage", chosen: Scan, progress: Progress) -> dict[str, Any]:
    """Write the chosen frames as frames/NNNNNN.jpg, and work/alphas/NNNNNN.png of pictures that bring their alpha along.

    Those already there are kept.
    """
    folder = partial / "frames"
    wanted = {int(index) for index in chosen.index if not (folder / f"{frame_name(index)}.jpg").exists()}
    with progress.task("frames", len(wanted)) as task:
        for frame in ahead(footage.frames(indices=wanted)) if wanted else ():
            if (alpha := footage.alpha(frame.index) if frame.alpha is None else frame.alpha) is not None:
                write_image(partial / "work" / "alphas" / f"{frame_name(frame.index)}.png", alpha)
            write_image(folder / f"{frame_name(frame.index)}.jpg", frame.image)
            task.advance()
    return {"kept": len(chosen.index)}


def faces_by_finder(seen: Scan) -> dict[str, int]:
    """How many faces each way of looking found; one that is followed counts for whoever found it."""
    counts = np.bincount(seen.finder, minlength=len(FINDER_CODES))
    return {FINDER_NAMES[name]: int(counts[code]) for name, code in FINDER_CODES.items() if name != "none" and counts[code]}


def remarks(seen: Scan, scanned: dict[str, Any], footage: "Footage") -> list[str]:
    """Sentences about the files and about who is in view, for the report."""
    result = list(footage.remarks)
    if scanned["damaged"]:
        result.append(
            f"{footage.info.path.name} is damaged: {scanned['damaged']} of its packets cannot be decoded and were skipped."
        )
    if scanned["lost"]:
        result.append(f"{footage.info.path.name} could not be decoded to its end: the last {scanned['lost']} frames are lost.")
    faces = seen.finder > 0
    beside = float(np.mean(seen.other[faces, 2] > 0)) if faces.any() else 0.0
    left_out = float(np.mean(seen.reason[faces] == reason_code("another face"))) if faces.any() else 0.0
    if max(beside, left_out) > 0.03:
        others = int(np.sum(seen.reason == reason_code("another face")))
        result.append(
            f"More than one person is in view ({max(beside, left_out):.0%} of the time): the one seen longest and "
            f"largest was used{f', {others} frames of others were left out' if others else ''}."
        )
    return result


def dropped(seen: Scan, reason: str | None = None) -> list[dict[str, Any]]:
    """The frames that could not be used, with their reason; all rows with `reason` when it is given."""
    rows = np.flatnonzero(seen.reason) if reason is None else np.arange(len(seen.index))
    return [
        {
            "source_index": int(seen.index[row]), "time_s": round(float(seen.time_s[row]), 6),
            "reason": reason or REASONS[int(seen.reason[row]) - 1],
        }
        for row in rows
    ]  # fmt: skip


def sampler(duration_s: float, settings: FrameSettings) -> Callable[[int, float], bool]:
    """Which frames to look at: all of a short video; of a long one those next to the ticks of a slower clock."""
    step = 0.0 if duration_s <= settings.dense_s else max(1.0 / settings.sample_hz, duration_s / settings.max_samples)
    due = 0.0

    def wanted(index: int, time_s: float) -> bool:
        nonlocal due
        if time_s < due - 1e-6:
            return False
        due = max(due + step, time_s) if time_s - due < 2 * step else time_s + step
        return True

    return wanted


def _looked_at(frame: VideoFrame, tracker: FaceTracker) -> tuple[Any, ...]:
    """The COLUMNS of one frame."""
    found = None
    black = np.percentile(frame.image[::8, ::8], 99) < BLACK_LEVEL
    if not black:
        found = tracker.track(frame.image, frame.time_s)
    if found is None:
        reason = reason_code("black" if black else "no face")
        return frame.index, frame.time_s, np.zeros((478, 3), np.float32), 0.0, 0.0, reason, 0, np.zeros(3)
    sharpness, brightness = _face_quality(frame.image, found.points)
    x0, y0, x1, y1 = found.other or (0.0, 0.0, 0.0, 0.0)
    other = np.array([(x0 + x1) / 2, (y0 + y1) / 2, max(x1 - x0, y1 - y0)])
    return frame.index, frame.time_s, found.points, sharpness, brightness, 0, FINDER_CODES[found.finder], other


def _face_quality(image: np.ndarray, points: np.ndarray, size: int = 160) -> tuple[float, float]:
    """Gradient energy over variance of the face scaled to `size` px, and its mean brightness."""
    import cv2

    low = np.maximum(points[:, :2].min(0).astype(int), 0)
    high = np.maximum(points[:, :2].max(0).astype(int), low + 2)
    face = image[low[1] : high[1], low[0] : high[0]]
    if min(face.shape[:2]) < 2:
        return 0.0, 0.0
    gray = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, size / max(gray.shape))
    gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    down, across = np.gradient(gray)
    return float((down**2 + across**2).mean() / (gray.var() + 25.0)), float(gray.mean())


def _main_face(seen: Scan) -> np.ndarray:
    """[T] bool: the frames of the person who is seen longest and largest.

    A run ends where the face jumps by more than its size or changes its size by half between two looks. A run belongs to the
    person when its size is within a factor of 1.8 of the best run's, unless somebody else was in view meanwhile who was nearer
    to where the person had last been seen.
    """
    if len(seen.index) == 0:
        return np.zeros(0, bool)
    side, center = face_side(seen.points), (seen.points[..., :2].max(1) + seen.points[..., :2].min(1)) / 2
    jump = np.linalg.norm(np.diff(center, axis=0), axis=1) > np.minimum(side[1:], side[:-1])
    jump |= np.abs(np.diff(np.log(side))) > np.log(1.5)
    run = np.concatenate([[0], np.cumsum(jump)])
    score = np.bincount(run, weights=side)
    size = np.array([np.median(side[run == number]) for number in range(len(score))])
    main = np.abs(np.log(size / size[np.argmax(score)])) < np.log(1.8)
    best = np.flatnonzero(run == np.argmax(score))
    for number in np.flatnonzero(main):
        if number != np.argmax(score):
            own = np.flatnonzero(run == number)
            main[number] = not (_beside(seen, center, own, best) or _beside(seen, center, best, own))
    return main[run]


def _beside(seen: Scan, center: np.ndarray, rows: np.ndarray, others: np.ndarray) -> bool:
    """Whether somebody else was in view in `rows`, mostly nearer to where the face of `others` was next than the own face."""
    rows = rows[seen.other[rows, 2] > 0]
    if not len(rows):
        return False
    nearest = np.abs(rows[:, None] - others).argmin(1)
    gap = np.abs(rows - others[nearest])
    rows, there = rows[gap == gap.min()], center[others[nearest[gap == gap.min()]]]
    own, other = (np.linalg.norm(place - there, axis=1) for place in (center[rows], seen.other[rows, :2]))
    return bool(np.mean(other < own) >= TWO_AT_ONCE)
