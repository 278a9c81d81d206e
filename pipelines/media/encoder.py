"""Writing video files: pictures stream to ffmpeg, a separate program; segments are joined, sound is added, failures are said.

The binary is the one imageio-ffmpeg brings; command lines are built by ffmpeg-python.
"""

import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.errors import AvatarError, SettingError
from pipelines.core.files import atomic
from pipelines.media.video import open_container

CONTAINERS = {".mp4": "h264", ".m4v": "h264", ".mov": "prores", ".webm": "vp9"}
"""Codec by file type."""


def write_video(path: Path, frames: Iterable[np.ndarray], rate_hz: float | Fraction, audio_from: Path | None = None) -> int:
    """Encode uint8 [H,W,3] (or [H,W,4] with alpha for .webm and .mov) and return the number of frames.

    .mp4 is H.264 (odd sizes are padded by one pixel), .webm VP9, .mov ProRes 4444. Sound of `audio_from` is cut to the length
    of the pictures. The file appears whole or not at all. AvatarError with ffmpeg's own words when it fails.
    """
    rate = Fraction(rate_hz).limit_denominator(100_000)
    with atomic(path) as draft, tempfile.TemporaryDirectory(dir=draft.parent, prefix=".encode-") as folder:
        silent = Path(folder) / f"pictures{path.suffix}"
        count = _encode(silent, iter(frames), rate, path)
        mux([silent], draft, audio_from, float(count / rate), path)
    return count


def concat_segments(segments: list[Path], out: Path, audio_from: Path | None = None, duration_s: float | None = None) -> None:
    """Join videos of one encoding without encoding again, with the sound of `audio_from` cut to `duration_s`."""
    with atomic(out) as draft:
        mux(segments, draft, audio_from, duration_s, out)


def mux(segments: list[Path], draft: Path, audio_from: Path | None, duration_s: float | None, out: Path) -> None:
    """Segments one after the other plus sound into `draft`; `out` is the name errors speak of."""
    import ffmpeg

    listing = "".join("file '{}'\n".format(str(segment.resolve()).replace("'", "'\\''")) for segment in segments)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", prefix="avatarcli-") as names:
        names.write(listing)
        names.flush()
        streams: list[Any] = [ffmpeg.input(names.name, format="concat", safe=0).video]
        options: dict[str, Any] = {"c:v": "copy", "fflags": "+bitexact", "map_metadata": -1}
        if audio_from is not None and (sound := _sound(audio_from, out.suffix)):
            streams.append(ffmpeg.input(str(audio_from), itsoffset=sound.pop("offset_s")).audio)
            options |= sound
        if duration_s is not None:
            options["t"] = f"{duration_s:.6f}"
            if options.get("acodec", "copy") != "copy":  # else sound that begins before the pictures ends as long before them
                options["af"] = f"atrim=start=0:end={duration_s:.6f}"
        if out.suffix in {".mp4", ".m4v", ".mov"}:
            options["movflags"] = "+faststart"
        run_ffmpeg(ffmpeg.output(*streams, str(draft), **options), iter(()), out)


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


def run_ffmpeg(stream: Any, chunks: Iterator[bytes], out: Path) -> None:
    """Run ffmpeg on `stream`, feeding `chunks` to its standard input; AvatarError says why it failed."""
    import ffmpeg
    from imageio_ffmpeg import get_ffmpeg_exe

    command = ffmpeg.compile(stream.global_args("-loglevel", "error", "-nostdin"), cmd=get_ffmpeg_exe(), overwrite_output=True)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
        assert process.stdin is not None
        try:
            for chunk in chunks:
                process.stdin.write(chunk)
            process.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg has gone; its words are in the log
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        log.seek(0)
        if code:
            raise AvatarError(_failure(code, log.read().decode(errors="replace"), out))


def _failure(code: int, log: str, out: Path) -> str:
    """One sentence about why ffmpeg stopped."""
    if code == -signal.SIGXFSZ or "File too large" in log:
        return f"{out} could not be written: the file-size limit (`ulimit -f`) is reached; raise it and run again."
    if "No space left" in log:
        return f"{out} could not be written: the disk is full; free some space and run the same command again."
    if code < 0:
        name = signal.Signals(-code).name
        return f"{out} could not be written: ffmpeg was ended by {name}, perhaps for lack of memory; run it again."
    words = [line.strip() for line in log.splitlines() if line.strip()]
    return f"{out} could not be written: ffmpeg says: {words[-1] if words else f'exit code {code}'}."


def _encode(draft: Path, frames: Iterator[np.ndarray], rate: Fraction, out: Path) -> int:
    """Pictures only; the size and the presence of alpha are those of the first frame."""
    import ffmpeg

    first = next(frames, None)
    if first is None:
        raise AvatarError(f"there is no frame to write into {out}.")
    height, width, channels = first.shape
    counted = _Counter(first, frames)
    source = ffmpeg.input(
        "pipe:", format="rawvideo", pix_fmt="rgba" if channels == 4 else "rgb24", s=f"{width}x{height}", framerate=str(rate)
    )
    run_ffmpeg(source.output(str(draft), **codec_options(out, channels == 4, width, height)), iter(counted), out)
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


def _sound(path: Path, suffix: str) -> dict[str, Any] | None:
    """ffmpeg options for the sound of `path` and its offset to the first picture, or None when it is silent."""
    with open_container(path) as container:
        if not container.streams.audio:
            return None
        audio = container.streams.audio[0]
        pictures = [stream for stream in container.streams.video if stream.start_time is not None]
        first = min((float(stream.start_time * stream.time_base) for stream in pictures), default=0.0)
        offset = (container.start_time or 0) / 1e6 - first
        if suffix.lower() == ".webm":
            return {"acodec": "libopus", "b:a": "128k", "offset_s": offset}
        return {"acodec": "copy" if audio.codec_context.name == "aac" else "aac", "b:a": "192k", "offset_s": offset}
