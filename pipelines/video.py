"""Video files in and out: what a player would show, frame by frame, with exact times.

Reading goes through PyAV (there is no ffprobe): variable frame rates, rotation and mirroring of the display matrix, pixel
aspect and sound are handled here and nowhere else. Writing goes through ffmpeg-python and the ffmpeg binary of imageio-ffmpeg,
called as a separate program. Both stream: memory does not grow with the length of a file.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.encoder import codec_options, run_ffmpeg
from pipelines.errors import AvatarError, UnusableMaterial
from pipelines.files import atomic, sha256_file

HD_HEIGHT_PX = 720
"""Untagged footage of at least this height is BT.709, below it BT.601, as players assume."""
TRANSFER = {16: "pq", 18: "hlg"}
"""Transfer characteristics (ITU-T H.273) that need tone mapping; everything else is "sdr"."""


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """What is known of a video before its frames are read."""

    path: Path
    sha256: str
    width: int
    """As displayed: after rotation and pixel aspect."""
    height: int
    rate: Fraction
    """Average frames per second, exact for a constant rate."""
    duration_s: float
    frames: int
    """Packets with a picture; a damaged file decodes to fewer."""
    rotation_deg: int
    """Counterclockwise turn from stored to displayed picture: 0, 90, 180, 270."""
    mirrored: bool
    """The display matrix also mirrors the stored picture."""
    has_audio: bool
    codec: str
    transfer: str
    """`sdr`, `hlg` or `pq`."""

    @property
    def rate_hz(self) -> float:
        return float(self.rate)

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height


@dataclass(frozen=True, kw_only=True)
class VideoFrame:
    index: int
    """Number of the decoded frame, from 0."""
    time_s: float
    """Since the first frame."""
    image: np.ndarray
    """uint8 [H,W,3] RGB, upright as a player shows it."""


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """How a stored picture becomes the displayed one: transpose first, then flip rows and columns."""

    transpose: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @property
    def mirrored(self) -> bool:
        return self.transpose ^ self.flip_x ^ self.flip_y

    @property
    def rotation_deg(self) -> int:
        """Counterclockwise, after the mirroring (left to right, of the stored picture) if there is one."""
        probe = np.arange(6).reshape(2, 3)
        stored = probe[:, ::-1] if self.mirrored else probe
        return next(90 * turns for turns in range(4) if np.array_equal(np.rot90(stored, turns), self.apply(probe)))

    def apply(self, image: np.ndarray) -> np.ndarray:
        """[H,W,...] stored -> displayed, contiguous."""
        image = image.swapaxes(0, 1) if self.transpose else image
        return np.ascontiguousarray(image[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1])


def probe(path: Path) -> VideoInfo:
    """Facts about the video at `path`; UnusableMaterial when nothing in it can be shown as moving pictures."""
    with _open(path) as container:
        stream = _picture_stream(container, path)
        packets, start, end = _timeline(container, stream)
        has_audio, codec, average = bool(container.streams.audio), stream.codec_context.name, stream.average_rate
    frame, _ = next(_decoded(path), (None, 0.0))
    if frame is None or packets == 0:
        raise UnusableMaterial(f"no frame of {path} can be decoded; record it again or convert it with another program.")
    orientation, (width, height) = _orientation(frame), _displayed_size(frame)
    duration = float(end - start)
    rate = Fraction(packets) / (end - start) if end > start else Fraction(average or 25)
    if average and abs(float(rate / average) - 1) < 1e-3:
        rate = Fraction(average)
    return VideoInfo(
        path=path, sha256=sha256_file(path), width=width, height=height, rate=rate.limit_denominator(100_000),
        duration_s=duration, frames=packets, rotation_deg=orientation.rotation_deg, mirrored=orientation.mirrored,
        has_audio=has_audio, codec=codec, transfer=TRANSFER.get(int(frame.color_trc or 0), "sdr"),
    )  # fmt: skip


def read_frames(
    path: Path, *, indices: set[int] | None = None, longest_side_px: int | None = None, start: int = 0
) -> Iterator[VideoFrame]:
    """The frames of a video in display order, only those in `indices` and from number `start` on.

    A longer side above `longest_side_px` is scaled down to it while decoding. Damaged packets are skipped.
    """
    last = max(indices, default=-1) if indices is not None else None
    zero: float | None = None
    for index, (frame, time_s) in enumerate(_decoded(path)):
        zero = time_s if zero is None else zero
        if last is not None and index > last:
            return
        if index >= start and (indices is None or index in indices):
            yield VideoFrame(index=index, time_s=time_s - zero, image=_rgb(frame, longest_side_px))


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
        if out.suffix in {".mp4", ".m4v", ".mov"}:
            options["movflags"] = "+faststart"
        run_ffmpeg(ffmpeg.output(*streams, str(draft), **options), iter(()), out)


def _open(path: Path) -> Any:
    import av
    from av import error as errors

    if not path.is_file():
        raise UnusableMaterial(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a video file.")
    if path.stat().st_size == 0:
        raise UnusableMaterial(f"{path} is empty (0 bytes); copy it from the phone again.")
    try:
        return av.open(str(path))
    except (errors.FFmpegError, OSError) as error:
        raise UnusableMaterial(f"{path} is not a readable video ({error.strerror}); give an MP4, MOV or WebM file.") from error


def _picture_stream(container: Any, path: Path) -> Any:
    """The largest moving picture of a file; cover art does not count."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & still and stream.codec_context]
    if not streams:
        raise UnusableMaterial(f"{path} holds no moving pictures, only sound or a cover image; give a video.")
    best = max(streams, key=lambda stream: (stream.width or 0) * (stream.height or 0))
    best.thread_type = "AUTO"
    return best


def _timeline(container: Any, stream: Any) -> tuple[int, Fraction, Fraction]:
    """Number of displayed packets, first time, end time (seconds), read without decoding."""
    from av import error as errors

    count, first, end, step = 0, None, Fraction(0), Fraction(1, 1) / (stream.average_rate or 25)
    try:
        for packet in container.demux(stream):
            if not packet.size or packet.is_discard:
                continue
            count += 1
            if packet.pts is not None:
                time = packet.pts * packet.time_base
                first = time if first is None else min(first, time)
                end = max(end, time + (packet.duration * packet.time_base if packet.duration else step))
    except errors.FFmpegError:
        pass  # a cut-off file: what came before is used
    return count, first or Fraction(0), end if first is not None else step * count


def _decoded(path: Path) -> Iterator[tuple[Any, float]]:
    """PyAV frames in display order with their time (s); damaged packets are skipped, a cut-off file ends early."""
    from av import error as errors

    with _open(path) as container:
        stream = _picture_stream(container, path)
        rate, packets, count = stream.average_rate or Fraction(25), container.demux(stream), 0
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                return
            except errors.InvalidDataError:
                continue
            except (errors.EOFError, errors.OSError):
                return
            for frame in frames:
                yield frame, float(count / rate if frame.time is None else frame.time)
                count += 1


def _orientation(frame: Any) -> Orientation:
    """From the display matrix [[a,b,.],[c,d,.],...] in x' = ax + cy, y' = bx + dy."""
    matrix = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if abs(a) >= abs(b):
        return Orientation(flip_x=a < 0, flip_y=d < 0)
    return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)


def _stored_size(frame: Any) -> tuple[int, int]:
    """Width, height of the stored picture in square pixels."""
    aspect = getattr(frame, "sample_aspect_ratio", None) or Fraction(1)
    return max(1, round(frame.width * float(aspect))), frame.height


def _displayed_size(frame: Any) -> tuple[int, int]:
    width, height = _stored_size(frame)
    return (height, width) if _orientation(frame).transpose else (width, height)


def _rgb(frame: Any, longest_side_px: int | None) -> np.ndarray:
    from av.video.reformatter import Colorspace, Interpolation

    width, height = _stored_size(frame)
    scale = min(1.0, (longest_side_px or max(width, height)) / max(width, height))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    untagged = int(frame.colorspace) in (0, 2)  # RGB or unspecified
    matrix = (Colorspace.ITU709 if frame.height >= HD_HEIGHT_PX else Colorspace.ITU601) if untagged else None
    averaged = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    method = Interpolation.BICUBIC if (width, height) == (frame.width, frame.height) else averaged
    plain = frame.reformat(width=width, height=height, format="rgb24", src_colorspace=matrix, interpolation=method, threads=1)
    return _orientation(frame).apply(plain.to_ndarray())


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
    with _open(path) as container:
        if not container.streams.audio:
            return None
        audio = container.streams.audio[0]
        pictures = [stream for stream in container.streams.video if stream.start_time is not None]
        first = min((float(stream.start_time * stream.time_base) for stream in pictures), default=0.0)
        offset = (container.start_time or 0) / 1e6 - first
        if suffix.lower() == ".webm":
            return {"acodec": "libopus", "b:a": "128k", "offset_s": offset}
        return {"acodec": "copy" if audio.codec_context.name == "aac" else "aac", "b:a": "192k", "offset_s": offset}
