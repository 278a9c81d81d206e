"""What a drive shows, a row a frame: the hand-over from motion to pictures."""

from dataclasses import dataclass

import numpy as np

from pipelines.avatar.references.distance import Faces


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
    openings: np.ndarray | None = None
    """[T,3] gaps of lips and lids that the driver shows, the lids' over its open eye; None: not known."""
    references: np.ndarray | None = None
    """int [T,S] filmed frames, by slot (pipelines.avatar.references.choice); None: the render alone."""

    def faces(self, rows: slice = slice(None)) -> Faces:
        """What filmed frames are chosen by."""
        gaps = None if self.openings is None else self.openings[rows]
        return Faces.of(self.expression[rows], self.world_from_camera[rows], gaps)
