"""Video files as a player would show them, frame by frame, with exact times.

Reading goes through PyAV (there is no ffprobe): variable frame rates, rotation and mirroring of the display matrix, pixel
aspect, HDR (`pipelines.media.tonemap`), edit lists, covers and damage are handled here and nowhere else. It streams: memory
does not grow with the length of a file. Writing is `pipelines.media.encoder`.
"""

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import sha256_file
from pipelines.media.tonemap import Exposure, ToneMapper, exposure, lights_of

VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")
"""Of files that are taken for videos by their names."""
HD_HEIGHT_PX = 720
"""Untagged footage of at least this height is BT.709, below it BT.601, as players assume."""
TRANSFER = {16: "pq", 18: "hlg"}
"""Transfer characteristics (ITU-T H.273) that need tone mapping; everything else is "sdr"."""
STILLS = {"mjpeg", "png", "bmp", "gif", "webp", "tiff"}
"""Codecs of covers; a stream of one such picture is no video even where the file does not say that it is a cover."""
PHOTO_BRANDS = ("heic", "heix", "mif1", "avif")
"""Of HEIC and AVIF photos, which open like videos: of their tiles, one by one."""
DIAGONAL_35MM = 43.27
"""mm; equivalent focal lengths refer to it."""
GLANCES = 8
"""Frames that are looked at to find the exposure of an HDR clip, or which way is up."""
AHEAD = 4
"""Frames decoded in advance while others are worked on."""


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
    missing: int = 0
    """Frames the file announces but does not hold: it was cut off."""
    focal_px: float | None = None
    """From the phone's metadata, in pixels of the displayed picture; stabilization may have cropped it."""
    turns: int = 0
    """Quarter turns counterclockwise of which the file says nothing; `width` and `height` are those after them."""

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
    damaged: int = 0
    """Packets before it that could not be decoded."""


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
    with open_container(path) as container:
        stream = _picture_stream(container, path)
        packets, missing, start, end = _timeline(container, stream)
        has_audio, codec, average = bool(container.streams.audio), stream.codec_context.name, stream.average_rate
        equivalent = _focal_35mm({**container.metadata, **stream.metadata})
    frame, *_ = next(_decoded(path), (None, 0.0, 0))
    if frame is None or packets == 0:
        raise UnusableMaterial(f"no frame of {path} can be decoded; record it again or convert it with another program.")
    orientation, (width, height) = _orientation(frame), _displayed_size(frame)
    rate = Fraction(packets) / (end - start) if end > start else Fraction(average or 25)
    if average and abs(float(rate / average) - 1) < 1e-3:
        rate = Fraction(average)
    return VideoInfo(
        path=path, sha256=sha256_file(path), width=width, height=height, rate=rate.limit_denominator(100_000),
        duration_s=float(end - start), frames=packets, rotation_deg=orientation.rotation_deg, mirrored=orientation.mirrored,
        has_audio=has_audio, codec=codec, transfer=_transfer(frame), missing=missing,
        focal_px=equivalent * float(np.hypot(width, height)) / DIAGONAL_35MM if equivalent else None,
    )  # fmt: skip


def read_frames(
    path: Path, *, indices: set[int] | None = None, longest_side_px: int | None = None, start: int = 0,
    wanted: Callable[[int, float], bool] | None = None,
) -> Iterator[VideoFrame]:  # fmt: skip
    """The frames of a video in display order, only those in `indices`, from number `start` on, and `wanted(index, time_s)`.

    A longer side above `longest_side_px` is scaled down to it while decoding; frames that are not asked for are decoded but
    never become pictures. Damaged packets are skipped.
    """
    last = max(indices, default=-1) if indices is not None else None
    zero: float | None = None
    picture = _Painter(path, longest_side_px)
    for index, (frame, time_s, damaged) in enumerate(_decoded(path)):
        zero = time_s if zero is None else zero
        if last is not None and index > last:
            return
        asked = index >= start and (indices is None or index in indices)
        if asked and (wanted is None or wanted(index, time_s - zero)):
            yield VideoFrame(index=index, time_s=time_s - zero, image=picture(frame), damaged=damaged)


def glances(path: Path, longest_side_px: int) -> Iterator[np.ndarray]:
    """uint8 [H,W,3] pictures of a few key frames spread over the file, found without decoding what lies between."""
    picture = _Painter(path, longest_side_px)
    return (picture(frame) for frame in _glances(path))


def ahead(frames: Iterator[VideoFrame], depth: int = AHEAD) -> Iterator[VideoFrame]:
    """The same frames, decoded by another thread while the caller works on the last ones; at most `depth` wait in memory."""
    waiting: queue.Queue[Any] = queue.Queue(depth)
    stopped = threading.Event()

    def work() -> None:
        try:
            for frame in frames:
                if not _put(waiting, frame, stopped):
                    return
            _put(waiting, None, stopped)
        except Exception as error:  # noqa: BLE001 - handed to the caller, who waits for frames
            _put(waiting, error, stopped)

    worker = threading.Thread(target=work, name="decoding", daemon=True)
    worker.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        worker.join()


def _put(waiting: "queue.Queue[Any]", item: Any, stopped: threading.Event) -> bool:
    """False when nobody waits for it any more."""
    while not stopped.is_set():
        try:
            waiting.put(item, timeout=0.1)
            return True
        except queue.Full:
            continue
    return False


def fitted(width: int, height: int, longest_side_px: int | None) -> tuple[int, int]:
    """A size scaled down, if need be, until its longer side is `longest_side_px`."""
    scale = min(1.0, (longest_side_px or max(width, height)) / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def open_container(path: Path) -> Any:
    import av
    from av import error as errors

    if not path.is_file():
        raise UnusableMaterial(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a video file.")
    if path.stat().st_size == 0:
        raise UnusableMaterial(f"{path} is empty (0 bytes); copy it from the phone again.")
    try:
        container = av.open(str(path))
    except (errors.FFmpegError, OSError) as error:
        raise UnusableMaterial(f"{path} is not a readable video ({error.strerror}); give an MP4, MOV or WebM file.") from error
    if container.metadata.get("major_brand", "") in PHOTO_BRANDS:
        container.close()
        raise UnusableMaterial(f"{path} is a photo, not a video; give a video, or a folder of photos to capture.")
    return container


def _picture_stream(container: Any, path: Path) -> Any:
    """The largest moving picture of a file; cover art does not count."""
    from av.stream import Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & still and stream.codec_context]
    if not streams:
        raise UnusableMaterial(f"{path} holds no moving pictures, only sound or a cover image; give a video.")
    best = max(streams, key=lambda one: (not _is_cover(one), (one.width or 0) * (one.height or 0)))
    best.thread_type = "AUTO"
    return best


def _is_cover(stream: Any) -> bool:
    """A single picture that nobody marked as a cover."""
    return stream.codec_context.name in STILLS and (stream.frames or 0) <= 1


def _timeline(container: Any, stream: Any) -> tuple[int, int, Fraction, Fraction]:
    """Number of displayed packets, number of announced but missing ones, first time, end time (s), read without decoding."""
    from av import error as errors

    shown, hidden, first, end, step = 0, 0, None, Fraction(0), Fraction(1, 1) / (stream.average_rate or 25)
    announced = stream.frames or 0
    try:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_discard:
                hidden += 1
                continue
            shown += 1
            if packet.pts is not None:
                time = packet.pts * packet.time_base
                first = time if first is None else min(first, time)
                end = max(end, time + (packet.duration * packet.time_base if packet.duration else step))
    except errors.FFmpegError:
        pass  # a cut-off file: what came before is used
    return shown, max(announced - shown - hidden, 0), first or Fraction(0), end if first is not None else step * shown


def _focal_35mm(metadata: dict[str, str]) -> float | None:
    """mm; the key ends so in Apple's files, whatever it begins with."""
    for key, value in metadata.items():
        if key.lower().endswith("focal_length.35mm_equivalent"):
            try:
                return float(value) if 8 <= float(value) <= 300 else None
            except ValueError:
                return None
    return None


def _decoded(path: Path) -> Iterator[tuple[Any, float, int]]:
    """PyAV frames in display order with their time (s) and the number of damaged packets so far.

    Damaged packets are skipped, a cut-off file ends early, and times that do not grow are replaced by the rate's.
    """
    from av import error as errors

    with open_container(path) as container:
        stream = _picture_stream(container, path)
        step, packets, damaged, last = 1 / float(stream.average_rate or 25), container.demux(stream), 0, -np.inf
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                return
            except (errors.EOFError, errors.OSError):
                return
            except errors.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                following = last + step if np.isfinite(last) else 0.0
                time_s = following if frame.time is None else float(frame.time)
                last = time_s if time_s > last else following
                yield frame, last, damaged


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


class _Painter:
    """Decoded frames of one file -> uint8 [H,W,3] RGB, upright; its exposure is found when the first HDR frame comes."""

    def __init__(self, path: Path, longest_side_px: int | None) -> None:
        self._path, self._longest = path, longest_side_px
        self._mapper: ToneMapper | None = None
        self._turn: Orientation | None = None

    def __call__(self, frame: Any) -> np.ndarray:
        size = fitted(*_stored_size(frame), self._longest)
        if self._turn is None:  # asking a frame for its side data ties it into a cycle that only the collector frees
            self._turn = _orientation(frame)
        if (transfer := _transfer(frame)) == "sdr":
            return self._turn.apply(_plain(frame, *size))
        if self._mapper is None or self._mapper.size != size:
            known = self._path.stat()
            self._mapper = ToneMapper(*size, _exposure(self._path, transfer, known.st_size, known.st_mtime_ns))
        return self._turn.apply(self._mapper(frame))


def _plain(frame: Any, width: int, height: int) -> np.ndarray:
    """RGB of a frame that needs no tone mapping."""
    from av.video.reformatter import Colorspace, Interpolation

    untagged = int(frame.colorspace) in (0, 2)  # RGB or unspecified
    matrix = (Colorspace.ITU709 if frame.height >= HD_HEIGHT_PX else Colorspace.ITU601) if untagged else None
    averaged = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    method = Interpolation.BICUBIC if (width, height) == (frame.width, frame.height) else averaged
    options: Any = {"src_colorspace": matrix, "interpolation": method, "threads": 1}
    return frame.reformat(width=width, height=height, format="rgb24", **options).to_ndarray()


def _transfer(frame: Any) -> str:
    return TRANSFER.get(int(frame.color_trc or 0), "sdr")


@lru_cache(maxsize=8)
def _exposure(path: Path, transfer: str, size: int, changed_ns: int) -> Exposure:
    """How an HDR file is shown, from a few frames spread over it; size and time of change tell versions of it apart."""
    lights = [lights_of(frame, transfer).reshape(-1, 3) for frame in _glances(path)]
    return exposure(transfer, np.concatenate(lights) if lights else np.zeros((0, 3)))


def _glances(path: Path) -> Iterator[Any]:
    """The key frames before a few times spread over the file."""
    from av import error as errors

    with open_container(path) as container:
        stream = _picture_stream(container, path)
        base, first = stream.time_base or Fraction(1, 1000), stream.start_time or 0
        whole = stream.duration or round((container.duration or 0) / 1_000_000 / base)
        for number in range(GLANCES):
            try:
                container.seek(first + whole * number // GLANCES, stream=stream)
                yield next(container.decode(stream))
            except (errors.FFmpegError, StopIteration):
                continue
