"""When the pictures of a film are shown, found by reading its packets, without decoding them.

Notable choices: the rate is that of the usual step between pictures, so that pauses, long pictures and holes do not change it.
Pictures before the first key frame cannot be decoded and do not count: the film begins with that frame. Where a picture stands
for more than HOLE_S, it is held if sound goes on meanwhile, for up to HELD_S, else the time is cut out, in the sound as well.
Where the clock steps back, two recordings were joined: the second one goes on a usual step behind the first one's last picture.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.media import stills
from pipelines.media.open import open_container

HOLE_S = 2.0
"""A picture that stands for longer is looked at: is it a pause with sound, or a hole?"""
HELD_S = 60.0
"""A pause with sound is held for no longer than this."""
HEARD = 0.5
"""Share of a pause that sound has to fill."""
BACK_S = 0.5
"""A clock that steps back by more begins anew."""
STILLS = {"mjpeg", "png", "bmp", "gif", "webp", "tiff"}
"""Codecs of covers and slides: a track of those never wins over a film."""
USUAL_RATES = (
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 120)),
    *map(Fraction, (10, 12, 15, 20, 24, 25, 30, 48, 50, 60)),
)
DEFAULT_RATE = Fraction(25)


@dataclass(frozen=True)
class Pause:
    """Seconds on the file's clock in which one picture stands."""

    start_s: float
    end_s: float
    cut: bool
    """Left out; else held."""

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, kw_only=True)
class Timeline:
    stream: int | None
    """Number of the picture's stream in the file; None for pictures that are no stream (photos, animated WebP)."""
    shown: int
    """Pictures."""
    missing: int = 0
    """Pictures the file announces but does not hold: it was cut off."""
    rate: Fraction
    start_s: Fraction = Fraction(0)
    """Of the first picture, on the file's clock."""
    end_s: Fraction
    """Of the last picture, on the file's clock."""
    pauses: tuple[Pause, ...] = field(default=())
    joins: tuple[Fraction, ...] = ()
    """Seconds that are added to what the file says after its first step back, its second one, ...: its clock for all else."""

    @property
    def holes(self) -> list[Pause]:
        return [pause for pause in self.pauses if pause.cut]

    @property
    def length_s(self) -> Fraction:
        return self.end_s - self.start_s - Fraction(sum(hole.length_s for hole in self.holes)).limit_denominator(1_000_000)

    def continued_s(self, time_s: float, part: int) -> float:
        """A time that the file says behind its step back number `part` (0: before the first one), on the clock that goes on."""
        return time_s + float(self.joins[min(part, len(self.joins)) - 1]) if part and self.joins else time_s

    def film_s(self, file_s: float) -> float:
        """Seconds since the first picture, without the holes, of a moment of the file's clock."""
        cut = sum(min(file_s, hole.end_s) - hole.start_s for hole in self.holes if file_s > hole.start_s)
        return file_s - float(self.start_s) - cut

    def spoken(self, name: str) -> list[str]:
        """Sentences about the longest pauses."""
        said = [
            f"{name} is {len(self.joins) + 1} recordings joined, whose clocks begin anew; each goes on behind the one before."
        ] if self.joins else []  # fmt: skip
        for cut, deed in ((True, "left out"), (False, "held")):
            pauses = sorted((pause for pause in self.pauses if pause.cut is cut), key=lambda pause: -pause.length_s)
            where = ", ".join(f"{spoken_s(pause.length_s)} at {self._heard_at(pause)}" for pause in pauses[:3])
            more = f" and {len(pauses) - 3} more" if len(pauses) > 3 else ""
            if pauses:
                said.append(f"{name} has no new picture for {where}{more}; that time was {deed}.")
        return said

    def _heard_at(self, pause: Pause) -> str:
        return f"{max(self.film_s(pause.start_s), 0.0):.1f} s"


@dataclass
class Packets:
    """What the packets of one stream say, in the order of the file."""

    times: list[Fraction] = field(default_factory=list)
    lengths: list[Fraction] = field(default_factory=list)
    hidden: int = 0
    untimed: int = 0
    key_s: Fraction | None = None
    """Time of the first key frame."""
    early: int = 0
    """Pictures before it."""
    parts: list[int] = field(default_factory=lambda: [0])
    """Rows of `times` with which the clock begins anew."""
    clock: "Clock" = field(default_factory=lambda: Clock())

    def add(self, packet: Any) -> None:
        time = packet.pts * packet.time_base if packet.pts is not None else None
        decoded = packet.dts if packet.dts is not None else packet.pts
        if decoded is not None and self.clock.steps_back(decoded * packet.time_base):
            self.parts.append(len(self.times))
        if packet.is_keyframe and self.key_s is None:
            self.key_s, self.early = time if time is not None else Fraction(0), len(self.times)
        if packet.is_discard:
            self.hidden += 1
        elif time is None:
            self.untimed += 1
        else:
            self.times.append(time)
            self.lengths.append(packet.duration * packet.time_base if packet.duration else Fraction(0))

    @property
    def count(self) -> int:
        return len(self.times) + self.untimed

    def joins(self) -> tuple[Fraction, ...]:
        """What is to be added to the times of the second part, of the third one, ..., so that they go on behind one another."""
        parts = [self.times[first:last] for first, last in zip(self.parts, [*self.parts[1:], None], strict=True)]
        step = _usual_step([time for part in parts for time in sorted(part)]) or 1 / DEFAULT_RATE
        offsets = [Fraction(0)]
        for earlier, later in zip(parts, parts[1:], strict=False):
            end = max(earlier, default=Fraction(0)) + offsets[-1] + step
            offsets.append(end - min(later) if later else offsets[-1])
        return tuple(offsets[1:])

    def move(self, joins: tuple[Fraction, ...]) -> None:
        """Put the parts behind one another."""
        for number, first in enumerate(self.parts[1:]):
            last = self.parts[number + 2] if number + 2 < len(self.parts) else len(self.times)
            for row in range(first, last) if joins else ():
                self.times[row] += joins[min(number, len(joins) - 1)]


class Clock:
    """Sees the steps back of one stream's times."""

    def __init__(self) -> None:
        self._last: Any = None
        self.part = 0

    def steps_back(self, time_s: Any) -> bool:
        is_back = self._last is not None and time_s < self._last - BACK_S
        self._last = time_s if is_back or self._last is None else max(self._last, time_s)
        self.part += is_back
        return is_back


def timeline(path: Path) -> Timeline:
    """Of the film in a file, or of a still picture; UnusableMaterial when nothing in it can be shown."""
    if not path.is_file() or path.stat().st_size == 0:
        open_container(path)
    known = path.stat()
    return _timeline(path.absolute(), known.st_size, known.st_mtime_ns)


@lru_cache(maxsize=64)
def _timeline(path: Path, size: int, changed_ns: int) -> Timeline:
    if stills.is_still_format(path):
        lengths = stills.durations_s(path)
        step = Fraction(float(np.median(lengths))).limit_denominator(1000) or 1 / DEFAULT_RATE
        rate = 1 / step if len(lengths) > 1 else DEFAULT_RATE
        pauses = _pauses(np.cumsum([0.0, *lengths]), float(step), [], float(step)) if len(lengths) > 1 else ()
        end = Fraction(sum(lengths)).limit_denominator(1000) if len(lengths) > 1 else 1 / DEFAULT_RATE
        return Timeline(stream=None, shown=len(lengths), rate=rate, end_s=end, pauses=pauses)
    with open_container(path) as container:
        pictures = _moving(container, path)
        packets = _read(container, [*pictures, *container.streams.audio])
        stream = max(pictures, key=lambda one: _worth(one, packets, max(packets[other.index].count for other in pictures)))
        sounds = [packets[sound.index] for sound in container.streams.audio]
        joins = packets[stream.index].joins()
        for one in (packets[stream.index], *sounds):
            one.move(joins)
        return _of_stream(stream, packets[stream.index], sounds, joins)


def _moving(container: Any, path: Path) -> list[Any]:
    """Streams that may be the film; covers do not count."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & still and stream.codec_context]
    if not streams:
        raise UnusableMaterial(f"{path} holds no moving pictures, only sound or a cover image; give a video.")
    return streams


def _read(container: Any, streams: list[Any]) -> dict[int, Packets]:
    from av import error as errors

    found = {stream.index: Packets() for stream in streams}
    try:
        for packet in container.demux(streams):
            if packet.size:
                found[packet.stream.index].add(packet)
    except errors.FFmpegError:
        pass  # a cut-off file: what came before is used
    return found


def _worth(stream: Any, packets: dict[int, Packets], most: int) -> tuple[bool, bool, int]:
    """The film among several tracks moves, is no track of still pictures, and is the largest."""
    return (
        packets[stream.index].count * 4 > most,
        stream.codec_context.name not in STILLS,
        (stream.width or 0) * (stream.height or 0),
    )


def _of_stream(stream: Any, found: Packets, sounds: list[Packets], joins: tuple[Fraction, ...]) -> Timeline:
    average = Fraction(stream.average_rate) if stream.average_rate else None
    start = found.key_s if found.key_s is not None else min(found.times, default=Fraction(0))
    rows = [row for row in range(found.early, len(found.times)) if found.times[row] >= start]
    times = sorted({found.times[row] for row in rows})
    step = _usual_step(times) or 1 / (average or DEFAULT_RATE)
    rate = _usual_rate(step, average)
    start = times[0] if times else Fraction(0)
    end = max((found.times[row] + (found.lengths[row] or step) for row in rows), default=start + found.untimed * step)
    count = len(rows) + found.untimed
    missing = max((stream.frames or 0) - found.count - found.hidden, 0)
    pauses = _pauses(np.array([*map(float, times), float(end)]), float(step), sounds, float(1 / rate)) if times else ()
    return Timeline(
        stream=stream.index, shown=count, missing=missing, rate=rate, start_s=start, end_s=max(end, start), pauses=pauses,
        joins=joins,
    )  # fmt: skip


def _usual_step(times: list[Fraction]) -> Fraction | None:
    """Mean of the steps that are about as long as the median one; clocks of whole milliseconds do not blur it."""
    steps = sorted(later - earlier for earlier, later in zip(times, times[1:], strict=False) if later > earlier)
    if not steps:
        return None
    middle = steps[len(steps) // 2]
    usual = [step for step in steps if middle / 2 <= step <= middle * 3 / 2]
    return sum(usual, Fraction(0)) / len(usual)


def _usual_rate(step: Fraction, average: Fraction | None) -> Fraction:
    """1 / step, or the exact rate that is meant: the file's own, or a common one."""
    if average and abs(float(average * step) - 1) < 1e-3:
        return average
    nearest = min(USUAL_RATES, key=lambda rate: abs(float(rate * step) - 1))
    return nearest if abs(float(nearest * step) - 1) < 2e-3 else (1 / step).limit_denominator(100_000)


def _pauses(times: np.ndarray, step_s: float, sounds: list[Packets], shown_s: float) -> tuple[Pause, ...]:
    """Of pictures that begin at `times` [T], the last of which is the end; a pause begins when its picture was shown a step."""
    found = []
    for row in np.flatnonzero(np.diff(times) > max(HOLE_S, 2.5 * step_s)):
        start, end = float(times[row]) + shown_s, float(times[row + 1])
        is_heard = end - start <= HELD_S and any(_filled(sound, start, end) for sound in sounds)
        found.append(Pause(start, end, cut=not is_heard))
    return tuple(found)


def _filled(sound: Packets, start_s: float, end_s: float) -> bool:
    """Whether packets of a sound fill enough of a time."""
    begin = np.array(sound.times, float)
    inside = np.minimum(begin + np.array(sound.lengths, float), end_s) - np.maximum(begin, start_s)
    return bool(np.maximum(inside, 0).sum() > HEARD * (end_s - start_s))


def spoken_s(seconds: float) -> str:
    """`4.2 s`, `45 minutes`."""
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
