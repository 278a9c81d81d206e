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
OWN = "own"
"""The person's own scene, as it was filmed."""
TRANSPARENT = "transparent"
SOFT = 0.035
"""Standard deviation of the blur over the picture's shorter side."""
SMALL = 96
"""Shorter side in pixels at which the blur is done; nothing sharper remains anyway."""
DIM = 0.85
"""Brightness of the blurred driver, so that the avatar stands out."""
FRAME = 24
"""Gray behind a driver of another shape."""
Shape = tuple[int, int]
"""Height and width of pictures."""


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
    """A moving background, float32 [*shape,4], opaque."""

    def __init__(self, film: Film, times_s: np.ndarray, shape: Shape, soft: bool) -> None:
        self.film, self.times_s, self.shape, self.soft = film, times_s, shape, soft

    def at(self, index: int) -> np.ndarray:
        picture = self.film.at(float(self.times_s[index]))
        cut = blurred(picture, self.shape) if self.soft else covering(picture, self.shape)
        return np.dstack([cut.astype(np.float32) / 255.0, np.ones(self.shape, np.float32)])


def check_text(text: str) -> None:
    """SettingError when `text` is no background."""
    if text not in (TRANSPARENT, BLUR, OWN) and not text.startswith("#") and not Path(text).is_file():
        raise SettingError(
            f"background {text!r} is not a file; give a color (#808080), an image, a video, own, blur or transparent."
        )


def check_backdrop(text: str, driver: Path, has_pictures: bool) -> None:
    """SettingError or UnusableMaterial when a driver, a video or numbers alone, cannot have the background `text`."""
    check_text(text)
    if text == BLUR and not has_pictures:
        raise SettingError(f"background blur needs the driver's pictures; {driver.name} has none, give a color or a file.")


def is_film(text: str) -> bool:
    """Whether a background is a file that moves: a video, a GIF, an animated WebP."""
    return text not in (TRANSPARENT, BLUR, OWN) and not text.startswith("#") and moves(Path(text))


def moving(text: str, driver: Path, times_s: np.ndarray, shape: Shape) -> Backdrop | None:
    """The background that `text` means if it moves."""
    if text == BLUR:
        return Backdrop(Film(driver, 4 * SMALL), times_s, shape, soft=True)
    if is_film(text):
        return Backdrop(Film(Path(text), 2 * max(shape), loop=True), times_s, shape, soft=False)
    return None


def covering(image: np.ndarray, shape: Shape) -> np.ndarray:
    """uint8 [*shape,3]: the middle of a picture, as large as the shape allows."""
    import cv2

    scale = min(image.shape[0] / shape[0], image.shape[1] / shape[1])
    height, width = round(scale * shape[0]), round(scale * shape[1])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    middle = image[top : top + height, left : left + width]
    return cv2.resize(middle, shape[::-1], interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)


def blurred(image: np.ndarray, shape: Shape) -> np.ndarray:
    """uint8 [*shape,3]: the middle of a picture, out of focus and a little darker."""
    import cv2

    scale = SMALL / min(shape)
    small = covering(image, (max(1, round(scale * shape[0])), max(1, round(scale * shape[1]))))
    large = cv2.resize(cv2.GaussianBlur(small, (0, 0), SOFT * SMALL), shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.round(np.clip(DIM * large.astype(np.float32), 0, 255)).astype(np.uint8)


def within(image: np.ndarray, shape: Shape) -> np.ndarray:
    """uint8 [*shape,3]: the whole picture in a gray frame."""
    import cv2

    scale = min(shape[0] / image.shape[0], shape[1] / image.shape[1])
    wide, high = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    canvas = np.full((*shape, 3), FRAME, np.uint8)
    top, left = (shape[0] - high) // 2, (shape[1] - wide) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas[top : top + high, left : left + wide] = cv2.resize(image, (wide, high), interpolation=method)
    return canvas


def beside(driver: np.ndarray, picture: np.ndarray, strip: np.ndarray, share: float) -> np.ndarray:
    """uint8 [H + h,2 W,3 or 4]: driver, picture, and below them the strip with a cursor at `share` of its width."""
    bar = strip.copy()
    at = min(int(share * bar.shape[1]), bar.shape[1] - 1)
    bar[:, max(at - 1, 0) : at + 2] = 255
    if picture.shape[2] == 4:
        driver, bar = (np.dstack([part, np.full(part.shape[:2], 255, np.uint8)]) for part in (driver, bar))
    return np.concatenate([np.concatenate([driver, picture], axis=1), bar], axis=0)
