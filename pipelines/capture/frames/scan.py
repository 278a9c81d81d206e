"""What is known of every frame that was looked at, and which frames cannot be used."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.files import read_arrays
from pipelines.face.tracker import FINDERS

BLACK_LEVEL = 20
"""A frame is black when 99 % of its pixels are darker than this (of 255)."""


REASONS = ("no face", "black", "too small", "another face", "too dark", "blurred", "too bright")
"""Why a frame cannot be used; the code in `Scan.reason` is the position + 1, 0 means usable."""


FINDER_CODES = {"none": 0, **{name: number + 1 for number, name in enumerate(FINDERS)}}
"""`Scan.finder`: who found the face."""


FINDER_NAMES = {"mesh": "mediapipe's face mesh", "detector": "mediapipe's detector", "second": "blazeface"}


TWO_AT_ONCE = 0.5
"""Share of the looks nearest to another run in which somebody else was where that run's face is, for the two to differ."""


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    max_frames: int = 240
    """Frames kept at most; they are spread over the time in which the face is seen."""
    varied: float = 0.25
    """Share of them that is chosen for a view or an expression that the others lack."""
    min_frames: int = 24
    """Fewer usable frames than this are refused."""
    min_photos: int = 8
    """The same for photos and for frames with given cameras."""
    longest_side_px: int = 1920
    """Larger pictures are scaled down while they are decoded."""
    second_detector: bool = True
    """Ask blazeface where mediapipe finds no face, when its weights are on this machine."""
    min_span_s: float = 2.0
    """Less time than this between the first and the last usable frame is refused."""
    min_face_px: float = 48.0
    """Longer side of the box around the face's points."""
    min_brightness: float = 0.6
    """Share of the clip's median brightness of the face; below it a frame is part of a fade."""
    max_brightness: float = 235.0
    """Mean of the face (of 255) above which it is blown out, where the clip's median is darker."""
    min_sharpness: float = 0.35
    """Share of the median sharpness of the face within one second on either side."""
    dense_s: float = 60.0
    """Every frame of a video up to this length is looked at; a longer one is sampled."""
    sample_hz: float = 10.0
    """Frames a second looked at in longer videos; fewer where `max_samples` would be exceeded."""
    max_samples: int = 3600
    """Bounds memory and time for videos of hours."""

    def __post_init__(self) -> None:
        positive(self, "max_frames", "longest_side_px", "sample_hz", "max_samples")


NEARLY = 0.85
"""Share of the least time that is enough: what the check, which looks ten times a second, calls usable has to be so."""


def is_long_enough(settings: FrameSettings, frames: float, span_s: float) -> bool:
    """Whether a clip can be captured in which a face is seen in so many frames over a time."""
    return frames >= settings.min_frames and span_s >= NEARLY * settings.min_span_s


def positive(settings: Any, *names: str) -> None:
    """ValueError for a setting that is 0 or less."""
    for name in names:
        if getattr(settings, name) <= 0:
            raise ValueError(f"{name} must be more than 0")


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
    finder: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    """[T] uint8 of FINDER_CODES."""
    other: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    """[T,3] center and side (px) of the largest other face at the last look around; 0 = nobody."""

    def __post_init__(self) -> None:
        for name, empty in (("finder", np.zeros(len(self.index), np.uint8)), ("other", np.zeros((len(self.index), 3)))):
            if len(getattr(self, name)) != len(self.index):
                object.__setattr__(self, name, empty)

    @property
    def usable(self) -> np.ndarray:
        return np.flatnonzero(self.reason == 0)

    def rows(self, rows: np.ndarray) -> "Scan":
        return Scan(**{name: values[rows] for name, values in vars(self).items()})


COLUMNS = ("index", "time_s", "points", "sharpness", "brightness", "reason", "finder", "other")


def load_scan(partial: Path) -> Scan:
    return Scan(**read_arrays(partial / "work" / "scan.npz"))


def frame_name(index: int) -> str:
    return f"{int(index):06d}"


def face_side(points: np.ndarray) -> np.ndarray:
    """[T] longer side of the box around [T,478,3] points, px."""
    return np.ptp(points[..., :2], axis=1).max(axis=-1)


def reason_code(reason: str) -> int:
    return REASONS.index(reason) + 1
