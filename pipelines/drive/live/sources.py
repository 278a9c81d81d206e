"""Where the frames of a live driver come from: a camera, or a file at its own pace."""

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.drive.settings import DriveSettings
from pipelines.media.video import ahead, probe, read_frames


class Source(Protocol):
    """Where the driver's frames come from."""

    rate: Fraction
    length_s: float | None
    sound: Path | None

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """Time on its own clock and uint8 [H,W,3]; each comes when its time has come."""
        ...


class FileSource:
    """A video at its own pace: a frame is there when a player would show it."""

    def __init__(self, path: Path, longest_side_px: int) -> None:
        info = probe(path)
        self.path, self.longest, self.rate = path, longest_side_px, info.rate
        self.length_s: float | None = info.duration_s
        self.sound: Path | None = path if info.has_audio else None

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        start: float | None = None
        for frame in ahead(read_frames(self.path, longest_side_px=self.longest)):
            start = time.perf_counter() if start is None else start
            wait = start + frame.time_s - time.perf_counter()
            if wait > 0:
                time.sleep(wait)
            yield frame.time_s, frame.image


class CameraSource:
    """A camera by number or device file; mirrored pictures are left as they are."""

    def __init__(self, device: str, rate_hz: float, width_px: int) -> None:
        import cv2

        self.rate = Fraction(rate_hz).limit_denominator(1000)
        self.length_s: float | None = None
        self.sound: Path | None = None
        number = device.removeprefix("/dev/video")
        self._camera = cv2.VideoCapture(int(number) if number.isdigit() else device)
        if not self._camera.isOpened():
            raise UnusableMaterial(f"the camera {device} cannot be opened; give its number (0, 1), /dev/videoN, or a file.")
        self._camera.set(cv2.CAP_PROP_FRAME_WIDTH, width_px)
        self._camera.set(cv2.CAP_PROP_FPS, rate_hz)

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        start = time.perf_counter()
        while True:
            there, image = self._camera.read()
            if not there:
                return
            yield time.perf_counter() - start, np.ascontiguousarray(image[..., ::-1])


def open_source(driver: str, settings: DriveSettings) -> Source:
    """A file where there is one of that name, else a camera."""
    if Path(driver).is_file():
        return FileSource(Path(driver), settings.track.longest_side_px)
    if driver.isdigit() or driver.startswith("/dev/video"):
        return CameraSource(driver, settings.live.rate_hz, settings.live.camera_px)
    raise UnusableMaterial(f"{driver} is neither a video file nor a camera; cameras are 0, 1, ... or /dev/video0.")
