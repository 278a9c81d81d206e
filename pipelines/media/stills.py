"""Photos, and animated pictures that libav does not read (WebP), as the pictures of a film: what is no container of media."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.media import heic, photos
from pipelines.media.open import address

FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM")
"""Photos, by Pillow's names."""
SHORTEST_S = 0.02
"""Animations that ask for less are shown at a tenth of a second, as browsers do."""


def is_still_format(path: Path) -> bool:
    """Whether a file is a photo or an animated WebP, by its content; a motion photo is a film, GIF and moving PNG too."""
    if address(path)[0].startswith("subfile"):
        return False
    if heic.is_heic(path):
        return True
    try:
        with photos.stored(path) as image:
            return image.format in FORMATS and not (image.format == "PNG" and getattr(image, "is_animated", False))
    except UnusableMaterial:
        return False


def durations_s(path: Path) -> list[float]:
    """How long each picture is shown; one for a photo."""
    if heic.is_heic(path):
        return [0.0]
    with photos.stored(path) as image:
        if image.format != "WEBP" or not image.is_animated:
            return [0.0]
        return [_length_s(image, number) for number in range(image.n_frames)]


def pictures(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """uint8 [H,W,3 or 4] upright in sRGB, and the time (s) at which each begins."""
    lengths, time_s = durations_s(path), 0.0
    if len(lengths) == 1:
        alpha = photos.read_alpha(path)
        image = photos.read(path)
        yield (image if alpha is None else np.dstack([image, alpha])), 0.0
        return
    with photos.stored(path) as image:
        for number, length in enumerate(lengths):
            image.seek(number)
            yield np.array(image.convert("RGBA")), time_s
            time_s += length


def _length_s(image: Any, number: int) -> float:
    image.seek(number)
    image.load()
    length = float(image.info.get("duration", 0) or 0) / 1000
    return length if length >= SHORTEST_S else 0.1
