"""Where live pictures go: a recording, a virtual camera for other programs, a window."""

import os
import queue
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from pipelines.core.errors import MissingTool
from pipelines.core.stage import Progress
from pipelines.drive.live.sources import Source
from pipelines.media.encoder import write_video

TITLE = "avatarcli"


class Screen(Protocol):
    def show(self, time_s: float, picture: np.ndarray) -> None: ...
    def close(self, end_s: float | None) -> int: ...


class Recorder:
    """Pictures at uneven times -> a video of constant rate, each picture held until the next; encodes in its own thread."""

    def __init__(self, path: Path, rate: Fraction, sound: Path | None) -> None:
        self.path, self.rate, self.sound, self.count = path, rate, sound, 0
        self._last: np.ndarray | None = None
        self._waiting: queue.Queue[np.ndarray | None] = queue.Queue(64)
        self._failed: BaseException | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._encode, name="recording", daemon=True)
        self._thread.start()

    def show(self, time_s: float, picture: np.ndarray) -> None:
        """A picture that belongs at `time_s`; until now the last one is shown."""
        if self._failed is not None:
            raise self._failed
        self._fill(time_s, picture)
        self._last = picture

    def close(self, end_s: float | None) -> int:
        """Hold the last picture until `end_s`, finish the file, and return its number of frames."""
        if self._last is not None:
            self._fill(end_s if end_s is not None else (self.count + 1) / float(self.rate), self._last)
        self._waiting.put(None)
        self._thread.join()
        if self._failed is not None and self.count:
            raise self._failed
        return self.count

    def _fill(self, time_s: float, first: np.ndarray) -> None:
        while self.count < round(time_s * self.rate):
            self._waiting.put(self._last if self._last is not None else first)
            self.count += 1

    def _pictures(self) -> Iterator[np.ndarray]:
        while not self._ended and (picture := self._waiting.get()) is not None:
            yield picture
        self._ended = True

    def _encode(self) -> None:
        try:
            write_video(self.path, self._pictures(), self.rate, self.sound)
        except BaseException as error:  # noqa: BLE001 - handed to the caller in close
            self._failed = error
            for _ in self._pictures():
                pass


class VirtualCamera:
    """What other programs see as a camera; needs pyvirtualcam and the system's device."""

    def __init__(self, shape: tuple[int, int], rate_hz: float) -> None:
        try:
            import pyvirtualcam  # type: ignore[import-not-found]
        except ImportError as error:
            raise MissingTool("no virtual camera: `pip install pyvirtualcam` (Linux also: modprobe v4l2loopback).") from error
        try:
            self._camera = pyvirtualcam.Camera(width=shape[1], height=shape[0], fps=rate_hz)
        except RuntimeError as error:
            raise MissingTool(f"no virtual camera: {error} (Linux: modprobe v4l2loopback; elsewhere: install OBS).") from error

    def show(self, time_s: float, picture: np.ndarray) -> None:
        self._camera.send(np.ascontiguousarray(picture[..., :3]))

    def close(self, end_s: float | None) -> int:
        self._camera.close()
        return 0


class Window:
    """A window on this machine's display."""

    def __init__(self) -> None:
        import cv2

        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise MissingTool("no window: this machine has no display.")
        try:
            cv2.namedWindow(TITLE)
        except cv2.error as error:
            raise MissingTool("no window: this OpenCV was built without one.") from error
        self._cv2 = cv2

    def show(self, time_s: float, picture: np.ndarray) -> None:
        self._cv2.imshow(TITLE, np.ascontiguousarray(picture[..., 2::-1]))
        self._cv2.waitKey(1)

    def close(self, end_s: float | None) -> int:
        self._cv2.destroyWindow(TITLE)
        return 0


def open_screens(
    out: Path | None, shape: tuple[int, int], source: Source, sound: bool, progress: Progress
) -> list[Screen]:  # fmt: skip
    """A recording where asked, a virtual camera and a window where there are such, for pictures of `shape` (height, width).

    MissingTool when there is none of all.
    """
    screens: list[Screen] = []
    missing: list[str] = []
    for opened in (lambda: VirtualCamera(shape, float(source.rate)), Window):
        try:
            screens.append(opened())
        except MissingTool as error:
            missing.append(str(error))
    if not screens and out is None:
        raise MissingTool(" ".join([*missing, "Record with -o FILE.mp4."]))
    if not screens:
        progress.say(missing[0])
    return [*screens, *([Recorder(out, source.rate, source.sound if sound else None)] if out else [])]
