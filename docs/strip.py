"""The README's picture out of a demo: the person filmed, a driver at some moments, and the avatar driven by him.

avatarcli demo                      # or with --budget 20m, on a slow machine
python docs/strip.py demo_out/driver.mp4 docs/strip.jpg
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipelines.demo import demo_clips  # noqa: E402
from pipelines.media.video import read_frames  # noqa: E402

CELL = 200
"""Side of a small picture; the filmed person is twice as large."""
MOMENTS = (18, 36, 84, 102)
"""Frames of the driver: lids shut, head turned, mouth open, a smile."""
FILMED = 0
CAPTION = 26


def frames(path: Path, numbers: Sequence[int]) -> list[np.ndarray]:
    return [frame.image for frame in read_frames(path, indices=set(numbers))]


def square(image: np.ndarray, side: int) -> Image.Image:
    """The middle of the picture, `side` pixels wide and high."""
    height, width = image.shape[:2]
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    return Image.fromarray(image[top : top + size, left : left + size]).resize((side, side), Image.Resampling.LANCZOS)


def strip(driven: Path) -> Image.Image:
    """1200 pixels wide: filmed at the left, drivers above, the avatar below."""
    clips = demo_clips()
    sheet = Image.new("RGB", (2 * CELL + len(MOMENTS) * CELL, 2 * CELL + CAPTION), "white")
    sheet.paste(square(frames(clips.capture, [FILMED])[0], 2 * CELL), (0, 0))
    for row, path in enumerate((clips.driver, driven)):
        for column, image in enumerate(frames(path, MOMENTS)):
            sheet.paste(square(image, CELL), ((2 + column) * CELL, row * CELL))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for x, words in ((8, "filmed"), (2 * CELL + 8, "above: somebody else's video    below: the avatar, driven by it")):
        draw.text((x, 2 * CELL + 4), words, fill="#5b6372", font=font)
    return sheet


if __name__ == "__main__":
    strip(Path(sys.argv[1])).save(sys.argv[2], quality=88)
