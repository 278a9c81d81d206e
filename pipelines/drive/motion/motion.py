"""What a drive shows, a row a frame: the hand-over from motion to pictures."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Motion:
    """T frames of the output."""

    expression: np.ndarray
    """[T,E] raw scores of the avatar's space."""
    world_from_camera: np.ndarray
    """[T,4,4]"""
    torso: np.ndarray
    """[T,3] motion of the layer, see pipelines.avatar.torso.follow."""
    zoom: np.ndarray | None = None
    """[T] focal length over the frontal camera's; None: 1."""
    references: np.ndarray | None = None
    """int [T,S] filmed frames, by slot (pipelines.avatar.references.choice); None: the render alone."""
