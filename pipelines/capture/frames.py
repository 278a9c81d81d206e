"""Frames worth training on: the face followed through the video, then the sharpest frame of every stretch of time."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import UnusableMaterial
from pipelines.files import read_arrays, write_arrays, write_image
from pipelines.landmarks import FaceTracker
from pipelines.stage import Progress
from pipelines.video import VideoFrame, VideoInfo, read_frames

BLACK_LEVEL = 20
"""A frame is black when 99 % of its pixels are darker than this (of 255)."""
REASONS = ("no face", "black", "too small", "another face", "too dark", "blurred")
"""Why a frame cannot be used; the code in `Scan.reason` is the position + 1, 0 means usable."""


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    max_frames: int = 240
    """Frames kept at most; they are spread over the time in which the face is seen."""
    min_frames: int = 24
    """Fewer usable frames than this are refused."""
    min_span_s: float = 2.0
    """Less time than this between the first and the last usable frame is refused."""
    min_face_px: float = 48.0
    """Longer side of the box around the face's points."""
    min_brightness: float = 0.6
    """Share of the clip's median brightness of the face; below it a frame is part of a fade."""
    min_sharpness: float = 0.35
    """Share of the median sharpness of the face within one second on either side."""
    dense_s: float = 60.0
    """Every frame of a video up to this length is looked at; a longer one is sampled."""
    sample_hz: float = 10.0
    """Frames a second looked at in longer videos; fewer where `max_samples` would be exceeded."""
    max_samples: int = 3600
    """Bounds memory and time for videos of hours."""


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What was seen in every frame that was looked at; a row a frame, in the order of time."""

    index: np.ndarray
    time_s: np.ndarray
    points: np.ndarray
    """[T,478,3] float32 px; zero where no face was found."""
    sharpness: np.ndarray
    """[T] gradient energy of the face over its contrast, at one size for all."""
    brightness: np.ndarray
    """[T] mean of the face, 0..255."""
    reason: np.ndarray
    """[T] uint8, 0 = usable, else position + 1 in REASONS."""

    @property
    def usable(self) -> np.ndarray:
        return np.flatnonzero(self.reason == 0)

    def rows(self, rows: np.ndarray) -> "Scan":
        return Scan(**{name: values[rows] for name, values in vars(self).items()})


def scan(partial: Path, info: VideoInfo, settings: FrameSettings, progress: Progress) -> dict[str, Any]:
    """Follow the face through the video and leave a Scan in work/scan.npz; figures: how many frames were looked at."""
    rows: list[tuple[Any, ...]] = []
    with progress.task("face", info.frames) as task, FaceTracker(video=True) as tracker:
        for frame in _sampled(read_frames(info.path), info.duration_s, settings):
            rows.append(_looked_at(frame, tracker))
            task.advance(frame.index + 1 - (int(rows[-2][0]) + 1 if len(rows) > 1 else 0))
    if not rows:
        raise UnusableMaterial(f"no frame of {info.path} can be decoded; record it again.")
    index, time_s, points, sharpness, brightness, reason = (np.array(column) for column in zip(*rows, strict=True))
    seen = Scan(
        index=index, time_s=time_s, points=points, sharpness=sharpness, brightness=brightness, reason=reason.astype(np.uint8)
    )
    write_arrays(partial / "work" / "scan.npz", **vars(judged(seen, settings)))
    return {"looked_at": len(rows), "last_index": int(index[-1])}


def load_scan(partial: Path) -> Scan:
    return Scan(**read_arrays(partial / "work" / "scan.npz"))


def judged(seen: Scan, settings: FrameSettings) -> Scan:
    """The scan with the reasons that need more than one frame: too small, another face, too dark, blurred."""
    reason = seen.reason.copy()
    side = face_side(seen.points)
    reason[(reason == 0) & (side < settings.min_face_px)] = _code("too small")
    ok = np.flatnonzero(reason == 0)
    reason[ok[~_main_face(seen.points[ok], seen.time_s[ok])]] = _code("another face")
    ok = np.flatnonzero(reason == 0)
    dark = seen.brightness[ok] < settings.min_brightness * np.median(seen.brightness[ok]) if len(ok) else np.zeros(0, bool)
    reason[ok[dark]] = _code("too dark")
    ok = np.flatnonzero(reason == 0)
    usual = np.array([np.median(seen.sharpness[ok[np.abs(seen.time_s[ok] - time) <= 1.0]]) for time in seen.time_s[ok]])
    reason[ok[seen.sharpness[ok] < settings.min_sharpness * usual]] = _code("blurred")
    return Scan(**{**vars(seen), "reason": reason})


def choose(seen: Scan, settings: FrameSettings, name: str) -> np.ndarray:
    """Rows of the scan: the sharpest of each of `max_frames` equal parts of the usable frames.

    UnusableMaterial, with what to film, when the face is never seen, or too few or too short.
    """
    usable = seen.usable
    check_enough(seen, settings, name)
    parts = np.array_split(usable, min(settings.max_frames, len(usable)))
    return np.array([part[np.argmax(seen.sharpness[part])] for part in parts])


def check_enough(seen: Scan, settings: FrameSettings, name: str) -> None:
    usable = seen.usable
    if np.all(np.isin(seen.reason, [_code("no face"), _code("black")])):
        raise UnusableMaterial(
            f"no face was found in {name}; film one person from the chest up, facing the camera, in even light, for 10 to 30 s."
        )
    span = float(np.ptp(seen.time_s[usable])) if len(usable) else 0.0
    if len(usable) < settings.min_frames or span < settings.min_span_s:
        raise UnusableMaterial(
            f"{name} shows a usable face in {len(usable)} frames over {span:.1f} s{_main_reason(seen)}; at least "
            f"{settings.min_frames} frames over {settings.min_span_s:g} s are needed, film 10 to 30 seconds."
        )


def extract(partial: Path, info: VideoInfo, chosen: Scan, progress: Progress) -> dict[str, Any]:
    """Write the chosen frames as frames/NNNNNN.jpg; those already there are kept."""
    folder = partial / "frames"
    wanted = {int(index) for index in chosen.index if not (folder / f"{frame_name(index)}.jpg").exists()}
    with progress.task("frames", len(wanted)) as task:
        for frame in read_frames(info.path, indices=wanted) if wanted else ():
            write_image(folder / f"{frame_name(frame.index)}.jpg", frame.image)
            task.advance()
    return {"kept": len(chosen.index)}


def frame_name(index: int) -> str:
    return f"{int(index):06d}"


def face_side(points: np.ndarray) -> np.ndarray:
    """[T] longer side of the box around [T,478,3] points, px."""
    return np.ptp(points[..., :2], axis=1).max(axis=-1)


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


def _sampled(frames: Iterator[VideoFrame], duration_s: float, settings: FrameSettings) -> Iterator[VideoFrame]:
    """All frames of a short video; of a long one those next to the ticks of a slower clock."""
    if duration_s <= settings.dense_s:
        yield from frames
        return
    step, due = max(1.0 / settings.sample_hz, duration_s / settings.max_samples), 0.0
    for frame in frames:
        if frame.time_s >= due - 1e-6:
            yield frame
            due = max(due + step, frame.time_s)


def _looked_at(frame: VideoFrame, tracker: FaceTracker) -> tuple[Any, ...]:
    """index, time, points, sharpness, brightness, reason."""
    found = None
    black = np.percentile(frame.image[::8, ::8], 99) < BLACK_LEVEL
    if not black:
        found = tracker.track(frame.image, frame.time_s)
    if found is None:
        reason = _code("black" if black else "no face")
        return frame.index, frame.time_s, np.zeros((478, 3), np.float32), 0.0, 0.0, reason
    sharpness, brightness = _face_quality(frame.image, found.points)
    return frame.index, frame.time_s, found.points, sharpness, brightness, 0


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


def _main_face(points: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """[T] bool: the frames of the face that is seen longest and largest.

    A run ends where the face jumps by more than its size or changes its size by half between two looks; a run belongs to the
    main face when its size is within a factor of 1.8 of the best run's.
    """
    if len(points) == 0:
        return np.zeros(0, bool)
    side, center = face_side(points), (points[..., :2].max(1) + points[..., :2].min(1)) / 2
    jump = np.linalg.norm(np.diff(center, axis=0), axis=1) > np.minimum(side[1:], side[:-1])
    jump |= np.abs(np.diff(np.log(side))) > np.log(1.5)
    run = np.concatenate([[0], np.cumsum(jump)])
    score = np.bincount(run, weights=side)
    size = np.array([np.median(side[run == number]) for number in range(len(score))])
    return (np.abs(np.log(size / size[np.argmax(score)])) < np.log(1.8))[run]


def _main_reason(seen: Scan) -> str:
    counts = np.bincount(seen.reason, minlength=len(REASONS) + 1)[1:]
    return f" ({counts.max()} frames dropped: {REASONS[int(np.argmax(counts))]})" if counts.any() else ""


def _code(reason: str) -> int:
    return REASONS.index(reason) + 1
