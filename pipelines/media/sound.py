"""The sound of a film, or of a file of its own: which track is heard, from when on, and as what it is written.

Notable choices: the first track that can be decoded and is not silent; one channel, or two into which all others are mixed,
because encoders refuse many layouts and browsers play those; times on the file's clock, so that cuts, holes and late pictures
leave lips and sound together. The sound is encoded as a whole before any picture is made; later it is only copied.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.media import ffmpeg
from pipelines.media.open import open_container
from pipelines.media.timeline import BACK_S, Clock, Pause, Timeline, spoken_s, timeline

HEARD_RMS = 1e-3
"""Of a second of sound, full scale being 1: -60 dB; below it is silence."""
LISTENED_S = 600.0
"""A track that is silent for so long is silent."""
AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
CODECS = {".webm": ("libopus", "128k", ".webm")}
"""Encoder, bits a second and ending of a file with nothing but sound, by the film's ending; AAC else."""
AAC = ("aac", "192k", ".m4a")
APART_S = 0.5
"""A sound that ends so much before or behind the pictures is spoken of."""


@dataclass(frozen=True, kw_only=True)
class Sound:
    path: Path
    stream: int
    """Its number in the file."""
    channels: int
    rate_hz: int
    start_s: float = 0.0
    """What is heard with the first picture, on the file's clock."""
    end_s: float = 0.0
    """Of its last sample, on the file's clock."""
    holes: tuple[Pause, ...] = ()
    """What is left out."""
    joins: tuple[float, ...] = ()
    """Seconds that are added to the file's clock after each of its steps back."""
    remarks: tuple[str, ...] = ()
    """What a person should know about the choice."""

    @property
    def length_s(self) -> float:
        """From the first picture on."""
        return self.end_s - self.start_s - sum(hole.length_s for hole in self.holes if hole.end_s <= self.end_s)

    def compared(self, length_s: float) -> list[str]:
        """What is to be said when pictures of `length_s` end before or behind it."""
        if self.length_s > length_s + APART_S:
            return [f"the sound of {self.path.name} ({spoken_s(self.length_s)}) is longer than the film "
                    f"({spoken_s(length_s)}) and was cut."]  # fmt: skip
        if self.length_s < length_s - APART_S:
            said = spoken_s(self.length_s) if self.length_s >= 1 else f"{max(self.length_s, 0):.2f} s"
            return [f"the sound of {self.path.name} ends at {said}; the film goes on to {spoken_s(length_s)} without sound."]
        return []


def find_sound(path: Path) -> tuple[Sound | None, list[str]]:
    """The sound of a file with remarks about it; None where it has none, or none that can be decoded (which is remarked)."""
    with open_container(path) as container:
        tracks = [track.index for track in container.streams.audio]
        facts = {one.index: (one.channels, one.rate) for one in container.streams.audio if one.codec_context is not None}
    heard = {index: loud for index in facts if (loud := _is_heard(path, index, len(facts) > 1)) is not None}
    remarks = _of_unreadable(path, [track for track in tracks if track not in heard], heard)
    if not heard:
        return None, remarks
    stream = next((index for index, loud in heard.items() if loud), next(iter(heard)))
    if len(heard) > 1:
        number = tracks.index(stream) + 1
        remarks.append(
            f"{path.name} has {len(tracks)} sound tracks; number {number} was taken, the first one that is not silent. "
            "Give another as a file of its own with --set sound=FILE."
        )
    film = _film(path)
    first_s, end_s = _span(path, stream, film)
    channels, rate = facts[stream]
    return Sound(
        path=path, stream=stream, channels=channels or 2, rate_hz=rate or 48000, end_s=end_s,
        start_s=float(film.start_s) if film else first_s, holes=tuple(film.holes) if film else (),
        joins=tuple(map(float, film.joins)) if film else (), remarks=tuple(remarks),
    ), remarks  # fmt: skip


def sound_suffix(out: Path) -> str:
    """Ending of the file that `write_sound` writes for a film."""
    return CODECS.get(out.suffix.lower(), AAC)[2]


def write_sound(sound: Sound, draft: Path, length_s: float | None = None) -> None:
    """Encode a sound from the first picture on, with silence where it has gaps, for at most `length_s`."""
    encoder, bits, _ = CODECS.get(draft.suffix.lower(), AAC)
    shift = "+".join([f"{sound.start_s:.6f}", *(f"gte(T,{hole.end_s:.6f})*{hole.length_s:.6f}" for hole in sound.holes)])
    stream = ffmpeg.source(sound.path, copyts=None)[str(sound.stream)]
    if sound.joins:
        stream = stream.filter("asetpts", _continued(sound.joins))
    if sound.holes:
        stream = stream.filter(
            "aselect", "not(" + "+".join(f"between(t,{h.start_s:.6f},{h.end_s:.6f})" for h in sound.holes) + ")"
        )
    stream = stream.filter("asetpts", f"PTS-({shift})/TB")
    stream = stream.filter("atrim", start=0, **({} if length_s is None else {"end": f"{length_s:.6f}"}))
    rate = 48000 if encoder == "libopus" else next((one for one in AAC_RATES if one >= sound.rate_hz), 48000)
    stream = stream.filter("aresample", rate, **{"async": 1, "first_pts": 0})
    stream = stream.filter("aformat", channel_layouts="mono" if sound.channels == 1 else "stereo")
    options: dict[str, Any] = {"acodec": encoder, "b:a": bits, "fflags": "+bitexact", "map_metadata": -1}
    ffmpeg.run(ffmpeg.output([stream], draft, options), draft)


def _continued(joins: tuple[float, ...]) -> str:
    """ffmpeg's expression of a time on the clock that goes on; variable 0 counts the steps back, 1 is the last time."""
    counted = f"st(0, ld(0) + gt(N, 0) * lt(T, ld(1) - {BACK_S})); st(1, T)"
    added = "+".join(
        f"{'gte' if number == len(joins) else 'eq'}(ld(0), {number})*{join:.6f}" for number, join in enumerate(joins, start=1)
    )
    return f"{counted}; PTS + ({added})/TB"


def _is_heard(path: Path, index: int, whole: bool) -> bool | None:
    """Whether a track is more than silence; None when it cannot be decoded. Unless `whole`, its first samples will do."""
    from av import error as errors

    samples, energy, decoded, loud = 0, 0.0, False, False
    with open_container(path) as container:
        try:
            for frame in container.decode(container.streams[index]):
                values = _signal(frame.to_ndarray(), frame.format.name)
                samples, energy, decoded = (
                    samples + frame.samples,
                    energy + float(np.square(values).mean() * frame.samples),
                    True,
                )
                if samples >= 0.2 * frame.sample_rate:
                    loud, samples, energy = energy > samples * HEARD_RMS**2, 0, 0.0
                if loud or not whole or (frame.time or 0.0) > LISTENED_S:
                    break
        except (errors.FFmpegError, ValueError):
            pass  # what was decoded before counts
    return loud or energy > samples * HEARD_RMS**2 if decoded else None


def _signal(samples: np.ndarray, form: str) -> np.ndarray:
    """Samples of one of libav's formats, in -1..1."""
    if form.startswith("u8"):
        return (samples.astype(np.float64) - 128) / 128
    return samples.astype(np.float64) / {"s16": 2.0**15, "s32": 2.0**31, "s64": 2.0**63}.get(form.removesuffix("p"), 1.0)


def _of_unreadable(path: Path, unreadable: list[int], heard: dict[int, bool]) -> list[str]:
    """A sentence about tracks that cannot be decoded, with the names of their codecs."""
    if not unreadable:
        return []
    words = ffmpeg.described(path)
    names = sorted({_codec(words, index) for index in unreadable})
    rest = "another track is taken" if heard else "the result has no sound; give a file with --set sound=FILE"
    many = "a sound track" if len(unreadable) == 1 else f"{len(unreadable)} sound tracks"
    return [f"{path.name} has {many} that cannot be decoded ({', '.join(names)}); {rest}."]


def _codec(words: str, index: int) -> str:
    """What ffmpeg calls the codec of a stream, its four letters where it knows no name."""
    found = re.search(rf"Stream #0:{index}\b[^\n]*?Audio: (\w+)(?:[^\n(]*\((\w+) /)?", words)
    if not found:
        return "unknown codec"
    return found[2] if found[1] in ("none", "unknown") and found[2] else found[1]


def _film(path: Path) -> Timeline | None:
    """The clock of a file's pictures; None where it shows nothing that moves."""
    try:
        film = timeline(path)
    except UnusableMaterial:
        return None
    return film if film.stream is not None else None


def _span(path: Path, index: int, film: Timeline | None) -> tuple[float, float]:
    """First and last moment of a track on the file's clock."""
    from av import error as errors

    first, last, clock = np.inf, 0.0, Clock()
    with open_container(path) as container:
        try:
            for packet in container.demux(container.streams[index]):
                if packet.size and packet.pts is not None:
                    time = float(packet.pts * packet.time_base)
                    clock.steps_back(time)
                    time = film.continued_s(time, clock.part) if film else time
                    first, last = min(first, time), max(last, time + float((packet.duration or 0) * packet.time_base))
        except errors.FFmpegError:
            pass  # a cut-off file: what came before is heard
    return (float(first) if np.isfinite(first) else 0.0), last
