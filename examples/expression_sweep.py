"""Every expression of an avatar by numbers: rest, full, rest, one after the other, as a video.

python examples/expression_sweep.py anna.avatar sweep.mp4
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipelines.artifacts.avatar import Avatar, load_avatar
from pipelines.avatar.portrait import Portrait, gray
from pipelines.media.encoder import write_video

NAMES = ("jawOpen", "mouthSmileLeft", "mouthPucker", "eyeBlinkLeft", "browInnerUp")
FRAMES = 24


def frames(avatar: Avatar) -> Iterator[np.ndarray]:
    """uint8 [H,W,3]: each named expression goes from rest to the end of its range and back."""
    portrait, background = Portrait(avatar), gray(avatar.image_size)
    for name in (name for name in NAMES if name in avatar.names):
        channel = avatar.names.index(name)
        for strength in np.sin(np.linspace(0, np.pi, FRAMES)):
            expression = avatar.neutral.copy()
            expression[channel] += strength * (avatar.high[channel] - expression[channel])
            yield portrait.render(portrait.scene(expression[None]), avatar.frontal, background=background).pixels()[0]


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    print(f"{write_video(out, frames(load_avatar(source)), rate_hz=24)} frames in {out}")
