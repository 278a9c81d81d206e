"""From the numbers of a network's picture to those of a file."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


def colors(image: "Tensor") -> np.ndarray:
    """float32 [B,H,W,3] of a network's picture [B,3,H,W]: -1 becomes 0, 1 stays 1; beyond is not clipped."""
    return ((image + 1) / 2).permute(0, 2, 3, 1).detach().cpu().numpy()


def to_bytes(color: np.ndarray) -> np.ndarray:
    """uint8 of any shape: colors in 0..1 times 255, clipped and rounded."""
    return np.round(np.clip(color, 0, 1) * 255).astype(np.uint8)
