"""Every expression of an avatar by numbers: rest, full, rest, one after the other, as a video.

python examples/expression_sweep.py anna.avatar sweep.mp4
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from pipelines.artifacts.avatar import Avatar, load_avatar
from pipelines.media.encoder import write_video

NAMES = ("jawOpen", "mouthSmileLeft", "mouthPucker", "eyeBlinkLeft", "browInnerUp")
FRAMES = 24


def frames(avatar: Avatar) -> Iterator[np.ndarray]:
    """uint8 [H,W,3]: each named expression goes from rest to the end of its range and back."""
    gray = torch.zeros(1, 3, 1, 1)
    for name in (name for name in NAMES if name in avatar.names):
        channel = avatar.names.index(name)
        for strength in np.sin(np.linspace(0, np.pi, FRAMES)):
            expression = avatar.neutral.copy()
            expression[channel] += strength * (avatar.high[channel] - expression[channel])
            with torch.no_grad():
                ws = avatar.expression_map(torch.from_numpy(expression)[None])
                image = avatar.generator.synthesis(ws, avatar.frontal, background=gray).image[0]
            yield ((image.permute(1, 2, 0).clamp(-1, 1).numpy() + 1) * 127.5).round().astype(np.uint8)


if __name__ == "__main__":
    source, out = map(Path, sys.argv[1:])
    print(f"{write_video(out, frames(load_avatar(source)), rate_hz=24)} frames in {out}")
