"""What a capture is made of: one or several clips, a folder of photos, or frames with given cameras; here they become alike.

Notable choices: everything is brought to one picture size with one focal length and the optical axis in the middle. Pictures
are scaled by what is known of their focal lengths and laid into the middle of a common canvas; one clip of usual size is not
touched. Frames are numbered through; between clips the clock runs on by ten seconds, so nothing is compared across a cut.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipelines.artifacts.kinds import ARTICLES, kind_of
from pipelines.capture.footage import transforms_json
from pipelines.capture.footage.lens import Lens
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import sha256_file, sha256_json
from pipelines.media import photos
from pipelines.media.video import VideoFrame, VideoInfo, fitted, probe, read_frames

Kind = Literal["video", "photos", "given"]
Size = tuple[int, int]
GAP_S = 10.0
"""Seconds of the common clock between two clips."""
STILL_S = 1.0
"""Seconds of the common clock from one photo to the next."""
USUAL_FOCAL = 1.0
"""Focal length over the longer side where nothing is known; only ratios of it are used."""
LEAST_RATIO = 0.5
"""Focal lengths that differ by more than twice are not believed."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A clip, or one still picture, and its place on the canvas and in time."""

    path: Path
    longest_px: int
    """Its longer side on the canvas."""
    first: int = 0
    """Number of its first frame in the whole."""
    start_s: float = 0.0
    info: VideoInfo | None = None
    """Of a clip; None for a still picture."""
    load: Callable[[], np.ndarray] | None = None
    """Reads a still picture, uint8 [H,W,3]."""
    load_alpha: Callable[[], np.ndarray | None] | None = None
    """Reads its alpha, uint8 [H,W], where it has one."""


@dataclass(frozen=True, kw_only=True)
class Footage:
    kind: Kind
    info: VideoInfo
    """Of the whole, in the size that is worked with."""
    parts: tuple[Part, ...]
    inputs: dict[str, Path]
    """Every file that the result depends on, by a name of its own."""
    remarks: tuple[str, ...] = ()
    """What a person should know about the files."""
    views: tuple[transforms_json.View, ...] = ()
    """The given cameras, one a frame."""
    lens: Lens | None = None
    """What is to be undone in every frame; None where frames are taken as they were filmed."""

    def frames(
        self, *, indices: set[int] | None = None, wanted: Callable[[int, float], bool] | None = None
    ) -> Iterator[VideoFrame]:
        """Frames by their number in the whole, as `read_frames` gives those of one clip."""
        for part in self.parts:
            count = part.info.frames if part.info else 1
            own = {index - part.first for index in indices if part.first <= index < part.first + count} if indices else None
            if indices is None or own:
                yield from self._frames_of(part, count, own, wanted)

    def _frames_of(
        self, part: Part, count: int, own: set[int] | None, wanted: Callable[[int, float], bool] | None
    ) -> Iterator[VideoFrame]:
        def asked(index: int, time_s: float) -> bool:
            return index < count and (wanted is None or wanted(part.first + index, part.start_s + time_s))

        if part.load is not None:
            found = iter([VideoFrame(index=0, time_s=0.0, image=part.load())] if asked(0, 0.0) else [])
        else:
            found = of_clip(part.info, part.longest_px, own, asked) if part.info else iter(())
        for frame in found:
            image = placed(frame.image, part.longest_px, self.info.size)
            image = self.lens.picture(image) if self.lens else image
            alpha = placed(frame.alpha, part.longest_px, self.info.size) if frame.alpha is not None else None
            alpha = self.lens.picture(alpha) if self.lens and alpha is not None else alpha
            yield replace(
                frame, index=part.first + frame.index, time_s=part.start_s + frame.time_s, image=image, alpha=alpha
            )  # fmt: skip

    def alpha(self, index: int) -> np.ndarray | None:
        """uint8 [H,W] that a still picture brings along, laid into the canvas as the picture is; None where there is none."""
        part = self.parts[int(self.clip_of(np.array([index]))[0])]
        alpha = part.load_alpha() if part.load_alpha else None
        if alpha is None:
            return None
        alpha = placed(alpha, part.longest_px, self.info.size)
        return self.lens.picture(alpha) if self.lens else alpha

    def clip_of(self, index: np.ndarray) -> np.ndarray:
        """[N] number of the part that a frame belongs to."""
        return np.searchsorted([part.first for part in self.parts], index, side="right") - 1

    @property
    def sources(self) -> list[dict[str, Any]]:
        """What capture.json says of every file: no path, no user."""
        return [_source(part) for part in self.parts]


def open_footage(paths: Sequence[Path], longest_side_px: int) -> Footage:
    """What `paths` are: clips, one folder of photos (or photos by name), or one folder with transforms.json.

    UnusableMaterial in one sentence when they are neither.
    """
    if not paths:
        raise SettingError("there is no footage; give a video, several videos of one person, or a folder of photos.")
    folders = [path for path in paths if path.is_dir()]
    if made := next((path for path in paths if is_capture(path if path.is_dir() else path.parent)), None):
        raise SettingError(f"{made} belongs to a capture and would lose what is held out; give its footage instead.")
    for path in paths:
        if kind := kind_of(path):
            raise UnusableMaterial(f"{path} is {ARTICLES[kind]}, not footage; give a video of the person.")
    if folders and len(paths) > 1:
        raise SettingError(f"{folders[0]} is a folder: give a single folder, or clips of one person.")
    if len(paths) == 1 and (cameras := transforms_json.record_of(paths[0])):
        return _given(cameras, longest_side_px)
    if folders or all(path.suffix.lower() in photos.SUFFIXES for path in paths):
        return _photos(paths, longest_side_px)
    if photo := next((path for path in paths if path.is_file() and path.suffix.lower() in photos.SUFFIXES), None):
        raise SettingError(f"{photo} is a photo, but not all of the others are; give only clips, or only photos.")
    return of_clips([probe(path) for path in paths], longest_side_px)


def is_capture(folder: Path) -> bool:
    """Whether a folder is a result of `avatarcli capture`."""
    return all((folder / name).is_file() for name in ("capture.json", "dataset.json"))


def of_clips(infos: Sequence[VideoInfo], longest_side_px: int) -> Footage:
    """Clips of one person, one after the other; SettingError when a file is given twice."""
    seen: dict[str, Path] = {}
    for info in infos:
        if info.sha256 in seen:
            raise SettingError(f"{seen[info.sha256]} and {info.path} are the same clip; give it once.")
        seen[info.sha256] = info.path
    longest = min(longest_side_px, max(max(info.size) for info in infos))
    relative = [info.focal_px / max(info.size) if info.focal_px else None for info in infos]
    sides = _sides(longest, relative) if len(infos) > 1 else [min(longest, max(infos[0].size))]
    parts, first, start = [], 0, 0.0
    for info, side in zip(infos, sides, strict=True):
        parts.append(Part(path=info.path, longest_px=side, first=first, start_s=start, info=info))
        first, start = first + info.frames, start + info.duration_s + GAP_S
    canvas = _canvas([_scaled(info.size, side) for info, side in zip(infos, sides, strict=True)])
    whole = replace(
        infos[0], width=canvas[0], height=canvas[1], frames=first, missing=sum(info.missing for info in infos),
        sha256=infos[0].sha256 if len(infos) == 1 else sha256_json([info.sha256 for info in infos]),
        duration_s=sum(info.duration_s for info in infos), focal_px=_focal_px(relative, sides),
    )  # fmt: skip
    names = ["video"] if len(infos) == 1 else [f"video {number + 1}" for number in range(len(infos))]
    remarks = tuple(text for info in infos for text in (*_damage(info), *info.remarks))
    inputs = dict(zip(names, (info.path for info in infos), strict=True))
    return Footage(kind="video", info=whole, parts=tuple(parts), inputs=inputs, remarks=remarks)


def of_clip(
    info: VideoInfo, longest_px: int, indices: set[int] | None, wanted: Callable[[int, float], bool] | None
) -> Iterator[VideoFrame]:
    """The frames of a clip as `read_frames` gives them, with the quarter turns that its file does not know."""

    def turned(picture: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.rot90(picture, info.turns))

    for frame in read_frames(info.path, indices=indices, longest_side_px=longest_px, wanted=wanted):
        if info.turns:
            frame = replace(frame, image=turned(frame.image), alpha=None if frame.alpha is None else turned(frame.alpha))
        yield frame


def placed(image: np.ndarray, longest_px: int, canvas: Size) -> np.ndarray:
    """[H,W] or [H,W,3] scaled to its longer side, or less if that does not fit, in the middle of a black canvas.

    `canvas` is its width and height.
    """
    import cv2

    size = _scaled((image.shape[1], image.shape[0]), longest_px)
    if size[0] > canvas[0] or size[1] > canvas[1]:  # a file whose pictures change their size
        shrink = min(canvas[0] / size[0], canvas[1] / size[1])
        size = max(1, int(size[0] * shrink)), max(1, int(size[1] * shrink))
    if size != (image.shape[1], image.shape[0]):
        method = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_CUBIC
        image = cv2.resize(image, size, interpolation=method)
    if size == canvas:
        return image
    result = np.zeros((canvas[1], canvas[0], *image.shape[2:]), np.uint8)
    x, y = (canvas[0] - size[0]) // 2, (canvas[1] - size[1]) // 2
    result[y : y + size[1], x : x + size[0]] = image
    return result


def _photos(paths: Sequence[Path], longest_side_px: int) -> Footage:
    found, remarks = photos.find(paths)
    sides = _sides(min(longest_side_px, max(max(photo.size) for photo in found)), [photo.focal for photo in found])
    parts = tuple(
        Part(
            path=photo.path, longest_px=side, first=number, start_s=number * STILL_S, load=photo.load,
            load_alpha=photo.load_alpha,
        )
        for number, (photo, side) in enumerate(zip(found, sides, strict=True))
    )  # fmt: skip
    canvas = _canvas([_scaled(photo.size, side) for photo, side in zip(found, sides, strict=True)])
    where = paths[0] if len(paths) == 1 else paths[0].parent
    inputs = {f"photo {photo.path.name}": photo.path for photo in found}
    info = _still_info(where, inputs, canvas, _focal_px([photo.focal for photo in found], sides))
    return Footage(kind="photos", info=info, parts=parts, inputs=inputs, remarks=tuple(remarks))


def _given(record: Path, longest_side_px: int) -> Footage:
    views, size, focal_px = transforms_json.read(record, longest_side_px)
    parts = tuple(
        Part(
            path=view.path, longest_px=max(size), first=number, start_s=number * STILL_S, load=view.load,
            load_alpha=view.load_alpha,
        )
        for number, view in enumerate(views)
    )  # fmt: skip
    inputs = {"cameras": record} | {f"frame {number} {view.path.name}": view.path for number, view in enumerate(views)}
    info = _still_info(record.parent, inputs, size, focal_px)
    return Footage(kind="given", info=info, parts=parts, inputs=inputs, views=tuple(views))


def _still_info(path: Path, inputs: dict[str, Path], size: Size, focal_px: float | None) -> VideoInfo:
    """Still pictures described as if they were a clip of one picture a second."""
    content = sha256_json({name: sha256_file(one) for name, one in inputs.items()})
    count = sum(not name.startswith("cameras") for name in inputs)
    return VideoInfo(
        path=path, sha256=content, width=size[0], height=size[1], rate=Fraction(1), duration_s=count * STILL_S, frames=count,
        rotation_deg=0, mirrored=False, has_audio=False, codec="images", transfer="sdr", focal_px=focal_px,
    )  # fmt: skip


def _sides(longest: int, relative: Sequence[float | None]) -> list[int]:
    """Longer side of each picture so that all have one focal length in pixels; the widest picture gets `longest`.

    Focal lengths over the longer side of 1.0 and 1.25 give 1000 and 800 px.
    """
    known = [value for value in relative if value]
    usual = float(np.median(known)) if known else USUAL_FOCAL
    focal = np.array([value or usual for value in relative])
    return [round(longest * max(float(focal.min() / value), LEAST_RATIO)) for value in focal]


def _focal_px(relative: Sequence[float | None], sides: Sequence[int]) -> float | None:
    known = [value * side for value, side in zip(relative, sides, strict=True) if value]
    return float(np.median(known)) if known else None


def _scaled(size: Size, longest_px: int) -> Size:
    """Like `fitted`, but small pictures are enlarged too."""
    if max(size) >= longest_px:
        return fitted(*size, longest_px)
    scale = longest_px / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _canvas(sizes: Sequence[Size]) -> Size:
    return max(size[0] for size in sizes), max(size[1] for size in sizes)


def _damage(info: VideoInfo) -> list[str]:
    if not info.missing:
        return []
    return [
        f"{info.path.name} was cut off: {info.missing} of its {info.missing + info.frames} frames are missing; what is there "
        "is used. Copy it from the phone again for the rest."
    ]


def _source(part: Part) -> dict[str, Any]:
    info = part.info
    if info is None:
        return {"file_name": part.path.name, "sha256": sha256_file(part.path)}
    return {
        "sha256": info.sha256, "file_name": info.path.name, "width": info.width, "height": info.height,
        "rate_hz": info.rate_hz, "duration_s": info.duration_s, "frames": info.frames, "transfer": info.transfer,
        "has_audio": info.has_audio, "first_index": part.first, "start_s": part.start_s,
    }  # fmt: skip
