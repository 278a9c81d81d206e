"""One picture of a whole drive: moments of driver and avatar, and the strip of the range guard below them."""

from pathlib import Path

import numpy as np

from pipelines.avatar.background import Film, Shape, within
from pipelines.core.files import write_image
from pipelines.drive.motion.follow_check import pictures
from pipelines.drive.motion.range_guard import strip

MOMENTS = 8
SIDE = 160
"""Pixels of one picture."""
STRIP = 12


def write_preview(path: Path, output: Path, marks: list[str], times_s: np.ndarray, driver: Path | None, shape: Shape) -> None:
    """A JPEG of MOMENTS pictures of the finished `output`, under those of the driver's video where there is one."""
    chosen = sorted({round(at) for at in np.linspace(0, len(marks) - 1, MOMENTS)})
    shown = [
        within(image[: shape[0], -shape[1] :, :3], (SIDE, SIDE))
        for index, image in enumerate(pictures(output))
        if index in chosen
    ]
    rows = [np.concatenate(shown, axis=1)]
    if driver is not None:
        film = Film(driver, 2 * SIDE)
        rows.insert(
            0, np.concatenate([within(film.at(float(times_s[index])), (SIDE, SIDE)) for index in chosen[: len(shown)]], axis=1)
        )
    write_image(path, np.concatenate([*rows, strip(marks, rows[0].shape[1], STRIP)], axis=0), quality=88)
