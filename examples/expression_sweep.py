"""Every expression of an avatar by numbers: rest, full, rest, one after the other, as a video.

python examples/expression_sweep.py anna.avatar sweep.mp4
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avatarcli import Avatar
from pipelines.media.encoder import write_video

NAMES = ("jawOpen", "mouthSmileLeft", "mouthPucker", "eyeBlinkLeft", "browInnerUp")
FRAMES = 24


def frames(avatar: Avatar) -> Iterator[np.ndarray]:
    """uint8 [H,W,3]: each named expression goes from rest to the end of its range and back, while the camera sways."""
    for name in (name for name in NAMES if name in avatar.channels):
        for phase in np.linspace(0, np.pi, FRAMES):
            yield avatar.render({name: np.sin(phase)}, yaw_deg=10 * np.sin(2 * phase), torso=False)


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    print(f"{write_video(out, frames(Avatar.load(source)), rate_hz=24)} frames in {out}")
