"""What lies behind the person: a color, a picture, a film, or the driver's own picture out of focus; and the driver beside it.

Films are read forwards once, a frame at a time, at the output's times; asking for an earlier time starts over, so a frame never
depends on what was asked before.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.core.errors import SettingError
from pipelines.media.video import VideoFrame, moves, probe, read_frames

BLUR = "blur"
TRANSPARENT = "transparent"
SOFT = 0.035
"""Standard deviation of the blur over the picture's side."""
SMALL = 96
"""Side in pixels at which the blur is done; nothing sharper remains anyway."""
DIM = 0.85
"""Brightness of the blurred driver, so that the avatar stands out."""
FRAME = 24
"""Gray behind a driver that is not square."""


class Film:
    """Pictures of a video at given times; when it has ended its last one, or with `loop` the film from its start."""

    def __init__(self, path: Path, longest_side_px: int, loop: bool = False) -> None:
        self.path, self.longest, self.loop = path, longest_side_px, loop
        self.length_s = max(probe(path).duration_s, 1e-3)
        self._frames: Iterator[VideoFrame] = iter(())
        self._shown: VideoFrame | None = None
        self._next: VideoFrame | None = None

    def at(self, time_s: float) -> np.ndarray:
        """uint8 [H,W,3]: the last frame that begins at or before `time_s`."""
        time_s = time_s % self.length_s if self.loop else time_s
        if self._shown is None or self._shown.time_s > time_s + 1e-6:
            self._frames = read_frames(self.path, longest_side_px=self.longest)
            self._shown, self._next = next(self._frames), next(self._frames, None)
        while self._next is not None and self._next.time_s <= time_s + 1e-6:
            self._shown, self._next = self._next, next(self._frames, None)
        return self._shown.image


class Backdrop:
    """A moving background, float32 [size,size,4], opaque."""

    def __init__(self, film: Film, times_s: np.ndarray, size: int, soft: bool) -> None:
        self.film, self.times_s, self.size, self.soft = film, times_s, size, soft

    def at(self, index: int) -> np.ndarray:
        picture = self.film.at(float(self.times_s[index]))
        square = blurred(picture, self.size) if self.soft else covering(picture, self.size)
        return np.dstack([square.astype(np.float32) / 255.0, np.ones((self.size, self.size), np.float32)])


def check_text(text: str) -> None:
    """SettingError when `text` is no background."""
    if text not in (TRANSPARENT, BLUR) and not text.startswith("#") and not Path(text).is_file():
        raise SettingError(
            f"background {text!r} is not a file; give a color (#808080), an image, a video, blur or transparent."
        )


def check_backdrop(text: str, driver: Path, has_pictures: bool) -> None:
    """SettingError or UnusableMaterial when a driver, a video or numbers alone, cannot have the background `text`."""
    check_text(text)
    if text == BLUR and not has_pictures:
        raise SettingError(f"background blur needs the driver's pictures; {driver.name} has none, give a color or a file.")


def is_film(text: str) -> bool:
    """Whether a background is a file that moves: a video, a GIF, an animated WebP."""
    return text not in (TRANSPARENT, BLUR) and not text.startswith("#") and moves(Path(text))


def moving(text: str, driver: Path, times_s: np.ndarray, size: int) -> Backdrop | None:
    """The background that `text` means if it moves."""
    if text == BLUR:
        return Backdrop(Film(driver, 4 * SMALL), times_s, size, soft=True)
    if is_film(text):
        return Backdrop(Film(Path(text), 2 * size, loop=True), times_s, size, soft=False)
    return None


def covering(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 [size,size,3]: the middle square of a picture."""
    import cv2

    side = min(image.shape[:2])
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    square = image[top : top + side, left : left + side]
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)


def blurred(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 [size,size,3]: the middle square, out of focus and a little darker."""
    import cv2

    small = cv2.GaussianBlur(covering(image, SMALL), (0, 0), SOFT * SMALL)
    large = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    return np.round(np.clip(DIM * large.astype(np.float32), 0, 255)).astype(np.uint8)


def within(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 [size,size,3]: the whole picture in a gray square."""
    import cv2

    scale = size / max(image.shape[:2])
    wide, high = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.full((size, size, 3), FRAME, np.uint8)
    top, left = (size - high) // 2, (size - wide) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas[top : top + high, left : left + wide] = cv2.resize(image, (wide, high), interpolation=method)
    return canvas


def beside(driver: np.ndarray, picture: np.ndarray, strip: np.ndarray, share: float) -> np.ndarray:
    """uint8 [size + h,2 size,3 or 4]: driver, picture, and below them the strip with a cursor at `share` of its width."""
    bar = strip.copy()
    at = min(int(share * bar.shape[1]), bar.shape[1] - 1)
    bar[:, max(at - 1, 0) : at + 2] = 255
    if picture.shape[2] == 4:
        driver, bar = (np.dstack([part, np.full(part.shape[:2], 255, np.uint8)]) for part in (driver, bar))
    return np.concatenate([np.concatenate([driver, picture], axis=1), bar], axis=0)
