"""Rare faces and views are drawn more often: who talks on film closes the eyes in a twentieth of the frames and smiles once.

The tracked channels of a frame say nothing to the networks, only how often it comes; a capture without them trains as well.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipelines.geometry.angles import yaw_pitch_deg

CHANNELS = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthPucker", "browInnerUp")
ALIKE, ALIKE_YAW_DEG = 0.1, 8.0
"""Frames so near in a channel, or in yaw, count as alike (standard deviation of a Gaussian)."""
MOST = 6.0
"""No frame counts as rarer than this."""


def rarity(expression: np.ndarray, names: Sequence[str], world_from_camera: np.ndarray) -> np.ndarray:
    """float32 [N] 1..6 of expressions [N,E] and cameras [N,4,4]: in the channel where a frame is rarest, how many times fewer
    frames are like it than like the average frame. Faces that were not found count as average ones."""
    signals = [(expression[:, names.index(name)], ALIKE) for name in CHANNELS if name in names]
    yaw = yaw_pitch_deg(-world_from_camera[:, :3, 2])[:, 0]
    result = np.ones(len(yaw))
    for values, alike in [*signals, (yaw, ALIKE_YAW_DEG)]:
        tracked = np.isfinite(values)
        if tracked.any():
            apart = values[tracked][:, None] - values[tracked]
            near = np.exp(-0.5 * (apart / alike) ** 2).mean(1)
            result[tracked] = np.maximum(result[tracked], near.mean() / near)
    return np.minimum(result, MOST).astype(np.float32)


def balanced(weights: Tensor, first: int, share: float) -> Tensor:
    """`weights` [N] scaled such that frames from row `first` on are drawn with the probability `share`.

    Weights 1, 1, 1, 1 with the last one at a half: 1/6, 1/6, 1/6, 1/2.
    """
    return torch.cat([(1 - share) * weights[:first] / weights[:first].sum(), share * weights[first:] / weights[first:].sum()])
