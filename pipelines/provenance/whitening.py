"""Evening out a flattened average before the mark is sought in it: every wave of every block weighs the same.

Blocks of 32 pixels, half overlapping, are taken apart into waves; each is divided by its size (phase correlation in blocks):

    Y = X / (|X| + median |X|).

Where a texture that stood still is left in the average, its own directions are loud, and no longer drown the mark in others.
"""

import numpy as np
from scipy.fft import irfft2, rfft2

BLOCK_PX = 32
STEP_PX = BLOCK_PX // 2


def whiten(flat: np.ndarray) -> np.ndarray:
    """float32 [H,W] of a picture [H,W]; what is even stays 0."""
    waves = np.asarray(rfft2(blocks_of(flat) * window()))
    size = np.abs(waves)
    even = np.asarray(irfft2(waves / (size + np.median(size) + 1e-12), s=(BLOCK_PX, BLOCK_PX)))
    return joined(even * window(), flat.shape)


def window() -> np.ndarray:
    """float32 [BLOCK_PX,BLOCK_PX]; the squares of half overlapping ones add up to 1."""
    side = np.sqrt(np.hanning(BLOCK_PX + 1)[:-1])
    return np.outer(side, side).astype(np.float32)


def blocks_of(flat: np.ndarray) -> np.ndarray:
    """[Y,X,BLOCK_PX,BLOCK_PX] of the picture, mirrored over its rim by STEP_PX or more."""
    after = [-side % STEP_PX + STEP_PX for side in flat.shape]
    wide = np.pad(flat.astype(np.float32), [(STEP_PX, after[0]), (STEP_PX, after[1])], mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(wide, (BLOCK_PX, BLOCK_PX))[::STEP_PX, ::STEP_PX]


def joined(blocks: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[H,W] the sum of overlapping blocks [Y,X,BLOCK_PX,BLOCK_PX], without the rim."""
    down, across = blocks.shape[:2]
    total = np.zeros((down + 1, STEP_PX, across + 1, STEP_PX), np.float32)
    halves = blocks.reshape(down, across, 2, STEP_PX, 2, STEP_PX)
    for y in (0, 1):
        for x in (0, 1):
            total[y : y + down, :, x : x + across] += halves[:, :, y, :, x].transpose(0, 2, 1, 3)
    return total.reshape((down + 1) * STEP_PX, -1)[STEP_PX:, STEP_PX:][: shape[0], : shape[1]]
