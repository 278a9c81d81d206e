"""Frames and mattes without the lens that a model of the room found: the frames are decoded anew and bent back once.

Notable choice: what was there is moved to work/filmed first and only read from then on, so a run that is killed here continues.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.capture.footage.lens import Lens
from pipelines.capture.footage.source import Footage
from pipelines.capture.frames import extract
from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.capture.mattes.crop_squares import region
from pipelines.core.files import read_image, write_bytes, write_image
from pipelines.core.stage import Progress
from pipelines.media.squares import Square


def undistort(partial: Path, footage: Footage, chosen: Scan, unseen: Scan, lens: Lens, progress: Progress) -> dict[str, Any]:
    """Replace frames/ (those of `unseen` too) and the mattes in work/; figures: k1 and how far it moved the corners (px)."""
    filmed = partial / "work" / "filmed"
    filmed.mkdir(exist_ok=True)
    for folder in (partial / "frames", partial / "work" / "mattes_single", partial / "work" / "mattes"):
        if folder.exists() and not (filmed / folder.name).exists():
            folder.rename(filmed / folder.name)
    without = replace(footage, lens=lens)
    for wanted in (chosen, unseen):
        extract.extract(partial, without, wanted, progress)
    before, after = chosen.points, lens.points(chosen).points
    boxes = {frame_name(index): (region(before[row]), region(after[row])) for row, index in enumerate(chosen.index)}
    for source in sorted(filmed.glob("mattes*/*.*")):
        path = partial / "work" / source.parent.name / source.name
        if path.exists():
            continue
        if source.suffix == ".png":
            write_image(path, matte(read_image(source), *boxes[source.stem], lens))
        else:
            write_bytes(path, source.read_bytes())
    return {"k1": lens.k1, "corners_px": round(lens.bend_px, 2)}


def matte(alpha: np.ndarray, filmed: Square, wanted: Square, lens: Lens) -> np.ndarray:
    """The matte [S,S] of the square `filmed` of a bent frame, in the square `wanted` of the straight one."""
    import cv2

    size = alpha.shape[0]
    unit = (np.arange(size) + 0.5) / size * wanted[2]
    px = np.stack(np.meshgrid(unit + wanted[0], unit + wanted[1]), axis=-1)
    at = ((lens.distort(px) - filmed[:2]) * size / filmed[2] - 0.5).astype(np.float32)
    return cv2.remap(alpha, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
