"""Pictures of the driven avatar: head over torso over background, written in segments so that a killed run loses one at most.

Every pixel is `head + (1 - alpha) * (torso + (1 - torso alpha) * background)`, with premultiplied head and torso.
"""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np

from pipelines.avatar.background import TRANSPARENT, Shape, check_text, covering
from pipelines.core.errors import SettingError
from pipelines.core.files import write_image
from pipelines.core.parallel import in_order
from pipelines.core.stage import Task
from pipelines.media.encoder import codec_options, write_video
from pipelines.media.open import is_text
from pipelines.media.video import read_frames

VIDEOS, STILL = (".mp4", ".webm", ".mov"), ".png"
LEAST_PX, SCENE_PX = 256, 512
"""Pictures are that large where nothing else is said: of an avatar without, and with a scene of its own."""


def check_output(out: Path, background: str, shape: Shape) -> None:
    """SettingError when `out` cannot hold what is asked, before any work is done."""
    transparent = background == TRANSPARENT
    if re.search(r"[\x00-\x1f\x7f]", out.name):
        raise SettingError(f"{out.name!r} has a line break or another control character in it; choose another -o.")
    if not is_text(str(out.absolute())):
        raise SettingError(f"{str(out)!r} is not text in UTF-8; choose another -o.")
    if out.suffix and out.suffix.lower() not in (*VIDEOS, STILL):
        raise SettingError(
            f"{out} is not a format that avatarcli writes; use {', '.join(VIDEOS)}, a folder for PNG files, or {STILL} for the "
            "one picture of a photo."
        )
    if out.suffix and out.suffix.lower() != STILL:
        codec_options(out, transparent, shape[1], shape[0])
    check_text(background)


def picture_size(image_size: int, asked: int | None, least: int = LEAST_PX) -> int:
    """Shorter side of the output: as asked, else the generator's, doubled while it is below `least`."""
    if asked is not None and not 16 <= asked <= 4096:
        raise SettingError(f"size={asked} is out of range; choose 16 to 4096 pixels.")
    size = asked or image_size
    while asked is None and size < least:
        size *= 2
    return size


def make_background(text: str, shape: Shape) -> np.ndarray:
    """float32 [*shape,4] premultiplied, 0..1: a color, the middle of an image, or nothing."""
    canvas = np.zeros((*shape, 4), np.float32)
    if text == TRANSPARENT:
        return canvas
    canvas[..., 3] = 1.0
    if text.startswith("#"):
        canvas[..., :3] = parse_color(text)
        return canvas
    canvas[..., :3] = covering(next(read_frames(Path(text))).image, shape) / 255.0
    return canvas


def parse_color(text: str) -> np.ndarray:
    """[3] in 0..1 of `#rrggbb`; #ff8000 is 1, 0.50196, 0."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise SettingError(f"{text!r} is not a color; write it as #rrggbb, such as #808080.")
    return np.array([int(text[i : i + 2], 16) for i in (1, 3, 5)], np.float32) / 255.0


Paint = Callable[[int, int], Iterator[np.ndarray]]
"""Frames first..last-1 as finished pictures."""


def segment_paths(count: int, segment: int, folder: Path, suffix: str) -> list[Path]:
    """Names of the parts by their first frame, in order (a killed run leaves other files beside them)."""
    return [folder / f"{first:06d}{suffix}" for first in range(0, count, segment)]


def write_segments(paint: Paint, count: int, segment: int, folder: Path, suffix: str, rate: Fraction, task: Task) -> None:
    """Videos of `segment` frames each in `folder`; those that exist are kept."""
    for part in segment_paths(count, segment, folder, suffix):
        first = int(part.stem)
        last = min(first + segment, count)
        if part.exists():
            task.advance(last - first)
        else:
            write_video(part, counted(paint(first, last), task), rate)


def write_pictures(paint: Paint, count: int, segment: int, folder: Path, task: Task) -> None:
    """PNG files by frame number in `folder`; of every `segment` frames those before the first missing one are kept."""
    for start in range(0, count, segment):
        last = min(start + segment, count)
        paths = [folder / f"{number:06d}.png" for number in range(start, last)]
        there = next((number for number, path in enumerate(paths) if not path.exists()), len(paths))
        task.advance(there)
        pictures = zip(paths[there:], paint(start + there, last), strict=True) if there < len(paths) else ()
        for _ in in_order(lambda pair: write_image(*pair), pictures, 1):
            task.advance()


def counted(frames: Iterator[np.ndarray], task: Task) -> Iterator[np.ndarray]:
    for frame in frames:
        yield frame
        task.advance()
