"""Video files as a player would show them, frame by frame, with exact times.

Reading goes through PyAV (there is no ffprobe): variable frame rates, rotation and mirroring of the display matrix, pixel
aspect, interlaced fields, transparency, HDR (`pipelines.media.tonemap`), edit lists and damage are handled here and nowhere
else; which stream is the film and when its pictures are shown says `pipelines.media.timeline`. It streams: memory does not
grow with the length of a file. Writing is `pipelines.media.encoder`.
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
from pipelines.media import stills
from pipelines.media.fields import progressive
from pipelines.media.open import open_container
from pipelines.media.timeline import Clock, Pause, timeline
from pipelines.media.tonemap import Exposure, ToneMapper, exposure, lights_of
from pipelines.media.transparency import decoder_of, has_alpha, over_gray

HD_HEIGHT_PX = 720
"""Untagged footage of at least this height is BT.709, below it BT.601, as players assume."""
TRANSFER = {16: "pq", 18: "hlg"}
"""Transfer characteristics (ITU-T H.273) that need tone mapping; everything else is "sdr"."""
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
    """Frames per second at the usual step, exact for a constant rate."""
    duration_s: float
    """Without the holes that are left out."""
    frames: int
    """Packets with a picture that can be decoded; a damaged file decodes to fewer."""
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
    pauses: tuple[Pause, ...] = ()
    """Times in which no new picture comes."""
    remarks: tuple[str, ...] = ()
    """What a person should know about its clock."""

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
    alpha: np.ndarray | None = None
    """uint8 [H,W] of a film that has transparency; `image` lies over mid gray there."""


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
    """Facts about the video (or the still picture) at `path`; UnusableMaterial when nothing in it can be shown."""
    film = timeline(path)
    has_audio, codec, equivalent = False, "picture", None
    if film.stream is not None:
        with open_container(path) as container:
            stream = container.streams[film.stream]
            has_audio, codec = bool(container.streams.audio), stream.codec_context.name
            equivalent = _focal_35mm({**container.metadata, **stream.metadata})
    decoded = next(_decoded(path), None)
    if decoded is None or film.shown == 0:
        raise UnusableMaterial(f"no frame of {path} can be decoded; record it again or convert it with another program.")
    frame = decoded.frame
    orientation, (width, height) = _orientation(frame), _displayed_size(decoded)
    return VideoInfo(
        path=path, sha256=sha256_file(path), width=width, height=height, rate=film.rate.limit_denominator(100_000),
        duration_s=float(film.length_s), frames=film.shown, rotation_deg=orientation.rotation_deg,
        mirrored=orientation.mirrored, has_audio=has_audio, codec=codec, transfer=_transfer(frame), missing=film.missing,
        pauses=film.pauses,
        focal_px=equivalent * float(np.hypot(width, height)) / DIAGONAL_35MM if equivalent else None,
        remarks=tuple(film.spoken(path.name)),
    )  # fmt: skip


def moves(path: Path) -> bool:
    """Whether a file holds moving pictures, whatever its name says."""
    try:
        return timeline(path).shown > 1
    except UnusableMaterial:
        return False


def read_frames(
    path: Path, *, indices: set[int] | None = None, longest_side_px: int | None = None, start: int = 0,
    wanted: Callable[[int, float], bool] | None = None,
) -> Iterator[VideoFrame]:  # fmt: skip
    """The frames of a video in display order, only those in `indices`, from number `start` on, and `wanted(index, time_s)`.

    A longer side above `longest_side_px` is scaled down to it while decoding; frames that are not asked for are decoded but
    never become pictures. Damaged packets are skipped.
    """
    last = max(indices, default=-1) if indices is not None else None
    picture = _Painter(path, longest_side_px)
    for index, decoded in enumerate(_decoded(path)):
        if last is not None and index > last:
            return
        asked = index >= start and (indices is None or index in indices)
        if asked and (wanted is None or wanted(index, decoded.time_s)):
            image, alpha = picture(decoded)
            yield VideoFrame(index=index, time_s=decoded.time_s, image=image, damaged=decoded.damaged, alpha=alpha)


def glances(path: Path, longest_side_px: int) -> Iterator[np.ndarray]:
    """uint8 [H,W,3] pictures of a few key frames spread over the file, found without decoding what lies between."""
    picture = _Painter(path, longest_side_px)
    return (picture(decoded)[0] for decoded in _glances(path))


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


def _focal_35mm(metadata: dict[str, str]) -> float | None:
    """mm; the key ends so in Apple's files, whatever it begins with."""
    for key, value in metadata.items():
        if key.lower().endswith("focal_length.35mm_equivalent"):
            try:
                return float(value) if 8 <= float(value) <= 300 else None
            except ValueError:
                return None
    return None


@dataclass(frozen=True)
class _Decoded:
    frame: Any
    """PyAV's."""
    time_s: float
    damaged: int = 0
    """Packets before it that could not be decoded."""
    aspect: Fraction = Fraction(1)
    """Width over height of a pixel."""


def _decoded(path: Path) -> Iterator[_Decoded]:
    """Frames in display order, at their times since the first picture and without holes, from that picture on.

    Damaged packets are skipped, a cut-off file ends early, and times that do not grow are replaced by the rate's.
    """
    film = timeline(path)
    if film.stream is None:
        yield from _stills(path)
        return
    step, last, clock = 1 / float(film.rate), -np.inf, Clock()
    with open_container(path) as container:
        stream = _opened(container, film.stream)
        for frame, damaged in progressive(_frames(container, stream)):
            following = last + step if np.isfinite(last) else 0.0
            if frame.time is None:
                time_s = following
            else:
                clock.steps_back(frame.time)
                time_s = film.film_s(film.continued_s(frame.time, clock.part))
            if time_s < -0.5 * step and not np.isfinite(last):
                continue  # a ruin before the first key frame
            last = time_s if time_s > last else following
            yield _Decoded(frame, last, damaged, _pixel_aspect(stream))


def _frames(container: Any, stream: Any) -> Iterator[tuple[Any, int]]:
    """PyAV frames with the number of damaged packets so far."""
    from av import error as errors

    packets, damaged, decoder = container.demux(stream), 0, decoder_of(stream)
    while True:
        try:
            frames = decoder.decode(next(packets))
        except (StopIteration, errors.EOFError, errors.OSError):
            return
        except errors.FFmpegError:
            damaged += 1
            continue
        for frame in frames:
            yield frame, damaged


def _stills(path: Path) -> Iterator[_Decoded]:
    """The pictures of a photo or an animation as frames."""
    import av

    for image, time_s in stills.pictures(path):
        yield _Decoded(
            av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgba" if image.shape[2] == 4 else "rgb24"), time_s
        )


def _opened(container: Any, index: int) -> Any:
    stream = container.streams[index]
    stream.thread_type = "AUTO"
    return stream


def _pixel_aspect(stream: Any) -> Fraction:
    """Width over height of a stored pixel, where a file says it and it can be true."""
    aspect = stream.sample_aspect_ratio
    return Fraction(aspect) if aspect and Fraction(1, 4) <= aspect <= 4 else Fraction(1)


def _orientation(frame: Any) -> Orientation:
    """From the display matrix [[a,b,.],[c,d,.],...] in x' = ax + cy, y' = bx + dy."""
    matrix = next((data for data in frame.side_data if data.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(matrix), dtype=np.int32)[:5].tolist()
    if abs(a) >= abs(b):
        return Orientation(flip_x=a < 0, flip_y=d < 0)
    return Orientation(transpose=True, flip_x=c < 0, flip_y=b < 0)


def _stored_size(decoded: _Decoded) -> tuple[int, int]:
    """Width, height of the stored picture in square pixels."""
    return max(1, round(decoded.frame.width * decoded.aspect)), decoded.frame.height


def _displayed_size(decoded: _Decoded) -> tuple[int, int]:
    width, height = _stored_size(decoded)
    return (height, width) if _orientation(decoded.frame).transpose else (width, height)


class _Painter:
    """Decoded frames of one file -> uint8 [H,W,3] RGB and [H,W] alpha or None, upright.

    Its exposure is found when the first HDR frame comes.
    """

    def __init__(self, path: Path, longest_side_px: int | None) -> None:
        self._path, self._longest = path, longest_side_px
        self._mapper: ToneMapper | None = None
        self._turn: Orientation | None = None

    def __call__(self, decoded: _Decoded) -> tuple[np.ndarray, np.ndarray | None]:
        frame, size = decoded.frame, fitted(*_stored_size(decoded), self._longest)
        if self._turn is None:  # asking a frame for its side data ties it into a cycle that only the collector frees
            self._turn = _orientation(frame)
        if (transfer := _transfer(frame)) == "sdr":
            if has_alpha(frame):
                image, alpha = over_gray(_plain(frame, *size, "rgba"))
                return self._turn.apply(image), self._turn.apply(alpha)
            return self._turn.apply(_plain(frame, *size)), None
        if self._mapper is None or self._mapper.size != size:
            known = self._path.stat()
            self._mapper = ToneMapper(*size, _exposure(self._path, transfer, known.st_size, known.st_mtime_ns))
        return self._turn.apply(self._mapper(frame)), None


def _plain(frame: Any, width: int, height: int, form: str = "rgb24") -> np.ndarray:
    """RGB (or RGBA) of a frame that needs no tone mapping."""
    from av.video.reformatter import Colorspace, Interpolation

    untagged = int(frame.colorspace) in (0, 2)  # RGB or unspecified
    matrix = (Colorspace.ITU709 if frame.height >= HD_HEIGHT_PX else Colorspace.ITU601) if untagged else None
    averaged = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    method = Interpolation.BICUBIC if (width, height) == (frame.width, frame.height) else averaged
    options: Any = {"src_colorspace": matrix, "interpolation": method, "threads": 1}
    return frame.reformat(width=width, height=height, format=form, **options).to_ndarray()


def _transfer(frame: Any) -> str:
    return TRANSFER.get(int(frame.color_trc or 0), "sdr")


@lru_cache(maxsize=8)
def _exposure(path: Path, transfer: str, size: int, changed_ns: int) -> Exposure:
    """How an HDR file is shown, from a few frames spread over it; size and time of change tell versions of it apart."""
    lights = [lights_of(decoded.frame, transfer).reshape(-1, 3) for decoded in _glances(path)]
    return exposure(transfer, np.concatenate(lights) if lights else np.zeros((0, 3)))


def _glances(path: Path) -> Iterator[_Decoded]:
    """The key frames before a few times spread over the file."""
    from av import error as errors

    film = timeline(path)
    if film.stream is None:
        yield from _stills(path)
        return
    with open_container(path) as container:
        stream = _opened(container, film.stream)
        base = stream.time_base or Fraction(1, 1000)
        first, whole = round(film.start_s / base), round((film.end_s - film.start_s) / base)
        for number in range(GLANCES):
            try:
                container.seek(first + whole * number // GLANCES, stream=stream)
                yield _Decoded(next(container.decode(stream)), 0.0, 0, _pixel_aspect(stream))
            except (errors.FFmpegError, StopIteration):
                continue
