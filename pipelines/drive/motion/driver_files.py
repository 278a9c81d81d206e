"""What can drive an avatar: a video, a Live Link Face CSV, a track of ours, coefficients of another face model.

A driver has a rate, a length and motion; a video has pictures and sound as well.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.stage import Progress
from pipelines.drive.motion.coefficients import adapted
from pipelines.drive.motion.track import LEAST_SEEN, needed_model, track_video, without_gaps
from pipelines.drive.settings import TrackSettings
from pipelines.face.channel_spaces import in_space
from pipelines.face.livelink import read_livelink
from pipelines.face.track import Track, load_track
from pipelines.media.open import FILMS
from pipelines.media.video import VideoInfo, probe

NUMBERS = (".csv", ".track", ".npz", ".npy")
"""File types of motion without pictures."""
TAKE_ENDINGS = ("_cal", "_raw", "_neutral")
"""Of the tables in the folder of one take."""
LARGEST_HZ = 240.0
"""Frames a second that may be asked for."""
MOST_HZ = 60.0
"""Faster drivers (slow motion as phones store it) are lowered to this or less, unless a rate is asked for."""


@dataclass(frozen=True, kw_only=True)
class Driver:
    """Somebody's motion; exactly one of `video` and `rows` is there."""

    path: Path
    rate: Fraction
    length_s: float
    video: VideoInfo | None = None
    rows: Track | None = None
    sound: Path | None = None
    """The file whose sound belongs to it."""
    remarks: tuple[str, ...] = ()
    """What a person should know about its clock."""

    @property
    def count(self) -> int:
        """Frames of a constant rate over its length."""
        return max(1, round(self.length_s * self.rate))

    def even_times_s(self) -> np.ndarray:
        return np.arange(self.count) / float(self.rate)

    def track(self, space: str, canonical: np.ndarray, settings: TrackSettings, folder: Path, progress: Progress) -> Track:
        """Its motion in an avatar's space, at its own times, without holes; chunk files of a video's tracking in `folder`."""
        if self.video is not None:
            found = track_video(self.video, space, canonical, settings, folder, progress)
            return without_gaps(found, settings.bridge_s, stands=True)
        assert self.rows is not None
        ours = self.path.suffix.lower() == ".track"
        return without_gaps(in_space(self.rows, space, self.path.name), settings.bridge_s, refill=not ours)


def open_driver(path: Path, settings: TrackSettings) -> Driver:
    """The driver in a file; UnusableMaterial in one sentence when nothing in it can drive."""
    if not path.is_file():
        raise UnusableMaterial(f"the driver {path} {'is a folder' if path.is_dir() else 'does not exist'}.")
    if path.suffix.lower() not in NUMBERS:
        info = probe(path)
        rate = asked_rate(settings.rate_hz) or lowered(info.rate)
        remarks, sound = (*info.remarks, *_of_rate(info.rate, rate, settings)), path if info.has_audio else None
        return Driver(path=path, rate=rate, length_s=info.duration_s, video=info, sound=sound, remarks=remarks)
    rows = read_rows(path, settings)
    if rows.valid.sum() < LEAST_SEEN:
        raise UnusableMaterial(f"{path} has {rows.valid.sum()} rows with a face; a driver needs {LEAST_SEEN}.")
    rows, own = replace(rows, times_s=rows.times_s - rows.times_s[0]), nearby(rows.rate_hz)
    rate, film = asked_rate(settings.rate_hz) or lowered(own), film_beside(path)
    heard = film if film is not None and probe(film).has_audio else None
    return Driver(
        path=path,
        rate=rate,
        length_s=rows.length_s,
        rows=rows,
        sound=heard,
        remarks=(*rows.remarks, *_of_rate(own, rate, settings)),
    )


def read_rows(path: Path, settings: TrackSettings) -> Track:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return read_livelink(path, settings.timecode_hz, settings.head_signs, settings.rate_hz)
    if suffix == ".track":
        return load_track(path)
    return adapted(path, Path(settings.adapter) if settings.adapter else None, settings.coefficients_hz)


def asked_rate(rate_hz: float | None) -> Fraction | None:
    if rate_hz is not None and not 1 <= rate_hz <= LARGEST_HZ:
        raise SettingError(f"track.rate_hz={rate_hz} is out of range; choose 1 to {LARGEST_HZ:g} frames a second.")
    return nearby(rate_hz) if rate_hz is not None else None


def lowered(rate: Fraction) -> Fraction:
    """The rate over the smallest whole number that brings it to MOST_HZ: 240 becomes 60, 100 becomes 50."""
    return rate / max(1, math.ceil(rate / Fraction(MOST_HZ) - Fraction(1, 1000)))


def _of_rate(own: Fraction, rate: Fraction, settings: TrackSettings) -> list[str]:
    if settings.rate_hz is not None or rate == own:
        return []
    most = min(float(own), LARGEST_HZ)
    deed = "keeps them" if most == own else "is the most"
    return [f"{float(own):g} frames a second were lowered to {float(rate):g}; --set track.rate_hz={most:g} {deed}."]


def nearby(rate_hz: float) -> Fraction:
    """The rate as a fraction: 29.97003 is 30000/1001."""
    for exact in (Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001)):
        if abs(rate_hz / float(exact) - 1) < 1e-6:
            return exact
    return Fraction(rate_hz).limit_denominator(1000)


def check_space(driver: Driver, space: str) -> None:
    """Raise before any work what stops this driver from driving an avatar that listens to `space`."""
    if driver.rows is not None:
        in_space(driver.rows, space, driver.path.name)
    else:
        needed_model(space)


def drivers_in(folder: Path) -> Iterator[Path]:
    """The drivers in a folder, by name: takes of numbers and videos; a video beside a table of its name is that take's sound.

    The folder of one take, as Live Link Face leaves it, is one driver.
    """
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    takes = [path for path in found if path.suffix.lower() in (".csv", ".track")]
    if calibrated := _best_of_take(found):
        yield calibrated
        return
    stems = {path.stem for path in takes}
    yield from sorted(takes + [path for path in found if path.suffix.lower() in FILMS and path.stem not in stems])


def _best_of_take(files: list[Path]) -> Path | None:
    """The table of a take's folder that is meant: the calibrated one, else the raw one, else the plain one; None elsewhere."""
    names = {path.name.lower() for path in files}
    tables = [path for path in files if path.suffix.lower() == ".csv" and path.stem.lower() != "frame_log"]
    endings = [next((end for end in TAKE_ENDINGS if path.stem.lower().endswith(end)), "") for path in tables]
    if not ({"take.json", "frame_log.csv"} & names or {"_cal", "_raw"} <= set(endings)):
        return None
    order = {end: number for number, end in enumerate(TAKE_ENDINGS)}
    usable = [(order[end], path) for end, path in zip(endings, tables, strict=True) if end in order and end != "_neutral"]
    plain = [(len(order), path) for end, path in zip(endings, tables, strict=True) if not end]
    return min(usable + plain, default=(0, None))[1]


def film_beside(table: Path) -> Path | None:
    """The film of a take of numbers: it has the table's name, without what tells raw from calibrated; None without one."""
    stems = {table.stem.lower(), *(table.stem.lower().removesuffix(end) for end in TAKE_ENDINGS)}
    near = sorted(table.absolute().parent.iterdir()) if table.suffix.lower() in NUMBERS else []
    return next((path for path in near if path.suffix.lower() in FILMS and path.stem.lower() in stems), None)
