"""Writing video files: pictures stream to ffmpeg, a separate program; segments are joined, sound is added, failures are said.

Notable choice: what can fail at the end is done before the first picture: the sound is encoded first, see `rehearse`.
"""

import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.errors import AvatarError, SettingError
from pipelines.core.files import atomic
from pipelines.media import ffmpeg
from pipelines.media.sound import find_sound, sound_suffix, write_sound

CONTAINERS = {".mp4": "h264", ".m4v": "h264", ".mov": "prores", ".webm": "vp9"}
"""Codec by file type."""


def write_video(path: Path, frames: Iterable[np.ndarray], rate_hz: float | Fraction, audio_from: Path | None = None) -> int:
    """Encode uint8 [H,W,3] (or [H,W,4] with alpha for .webm and .mov) and return the number of frames.

    .mp4 is H.264 (odd sizes are padded by one pixel), .webm VP9, .mov ProRes 4444. Sound of `audio_from` is cut to the length
    of the pictures. The file appears whole or not at all. AvatarError with ffmpeg's own words when it fails.
    """
    rate = Fraction(rate_hz).limit_denominator(100_000)
    with atomic(path) as draft, tempfile.TemporaryDirectory(dir=draft.parent, prefix=".encode-") as folder:
        heard = encoded_sound(audio_from, Path(folder) / "sound", path)
        silent = Path(folder) / f"pictures{path.suffix.lower()}"
        count = _encode(silent, iter(frames), rate, path)
        mux([silent], draft, heard, float(count / rate), path)
    return count


def encoded_sound(source: Path | None, draft: Path, out: Path, length_s: float | None = None) -> Path | None:
    """The sound of `source` as `out` will hold it, in a file of the name `draft` with an ending; None where there is none."""
    sound = find_sound(source)[0] if source is not None else None
    if sound is None:
        return None
    path = draft.with_name(draft.name + sound_suffix(out))
    write_sound(sound, path, length_s)
    return path


def concat_segments(segments: list[Path], out: Path, sound: Path | None = None, duration_s: float | None = None) -> None:
    """Join videos of one folder and one encoding without encoding again, with a sound that `write_sound` wrote."""
    with atomic(out) as draft:
        mux(segments, draft, sound, duration_s, out)


def mux(segments: list[Path], draft: Path, sound: Path | None, duration_s: float | None, out: Path) -> None:
    """Segments one after the other plus an encoded sound into `draft`; `out` is the name errors speak of."""
    folder, options = segments[0].parent, {"c": "copy", "fflags": "+bitexact", "map_metadata": -1}
    names = ("file '{}'\n".format(segment.name.replace("'", "'\\''")) for segment in segments)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", prefix=".join-", dir=folder) as listing:
        listing.write("".join(names))
        listing.flush()
        streams: list[Any] = [ffmpeg.joined(Path(listing.name)).video]
        streams += [ffmpeg.source(sound).audio] if sound is not None else []
        options |= {} if duration_s is None else {"t": f"{duration_s:.6f}"}
        options |= {"movflags": "+faststart"} if out.suffix.lower() in {".mp4", ".m4v", ".mov"} else {}
        ffmpeg.run(ffmpeg.output(streams, draft, options), out)


def rehearse(folder: Path, out: Path, shape: tuple[int, ...], rate: Fraction, sound: Path | None) -> None:
    """Write a second of gray pictures [H,W,3 or 4] with the encoded sound, as `out` will be; AvatarError when it cannot be."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".rehearsal-") as name:
        part = Path(name) / f"part{out.suffix.lower()}"
        gray = np.full(shape, 128, np.uint8)
        _encode(part, iter([gray] * max(1, round(min(rate, Fraction(60))))), rate, out)
        mux([part], Path(name) / f"whole{out.suffix.lower()}", sound, 1.0, out)


def codec_options(out: Path, alpha: bool, width: int, height: int) -> dict[str, Any]:
    """ffmpeg's output options for the file type; BT.709 limited range is written and tagged."""
    kind = CONTAINERS.get(out.suffix.lower())
    if kind is None or (alpha and kind == "h264"):
        need = ".webm or .mov (they carry transparency)" if alpha else "one of " + ", ".join(CONTAINERS)
        raise SettingError(f"{out} cannot hold this video; give a name that ends in {need}.")
    tags = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range": "tv", "fflags": "+bitexact"}
    convert = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+bicubic"
    if kind == "h264":
        padded = f"pad={width + width % 2}:{height + height % 2}," if width % 2 or height % 2 else ""
        quality = {"crf": 16, "preset": "medium", "flags:v": "+bitexact"}
        return tags | quality | {"vcodec": "libx264", "pix_fmt": "yuv420p", "vf": padded + convert}
    if kind == "vp9":
        quality = {"crf": 20, "b:v": 0, "auto-alt-ref": 0, "row-mt": 1}
        return tags | quality | {"vcodec": "libvpx-vp9", "pix_fmt": "yuva420p" if alpha else "yuv420p", "vf": convert}
    return tags | {"vcodec": "prores_ks", "pix_fmt": "yuva444p10le" if alpha else "yuv444p10le", "profile:v": 4, "vf": convert}


def _encode(draft: Path, frames: Iterator[np.ndarray], rate: Fraction, out: Path) -> int:
    """Pictures only; the size and the presence of alpha are those of the first frame."""
    first = next(frames, None)
    if first is None:
        raise AvatarError(f"there is no frame to write into {out}.")
    height, width, channels = first.shape
    counted = _Counter(first, frames)
    raw = ffmpeg.raw_pictures("rgba" if channels == 4 else "rgb24", f"{width}x{height}", str(rate))
    ffmpeg.run(ffmpeg.output([raw], draft, codec_options(out, channels == 4, width, height)), out, iter(counted))
    return counted.count


class _Counter:
    """Frames one by one as bytes, counted, all of one shape."""

    def __init__(self, first: np.ndarray, rest: Iterator[np.ndarray]) -> None:
        self.first, self.rest, self.count = first, rest, 0

    def __iter__(self) -> Iterator[bytes]:
        yield self._bytes(self.first)
        for frame in self.rest:
            yield self._bytes(frame)

    def _bytes(self, frame: np.ndarray) -> bytes:
        if frame.shape != self.first.shape or frame.dtype != np.uint8:
            raise AvatarError(f"frame {self.count} is {frame.dtype} {frame.shape}, the first was uint8 {self.first.shape}.")
        self.count += 1
        return np.ascontiguousarray(frame).tobytes()
