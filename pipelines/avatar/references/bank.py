"""The bank: frames of the person's film that travel with the avatar, and what the avatar itself renders in their place.

`references/NNNNNN.webp` is a filmed frame, cut as the generator sees it, with the person's alpha; `references/bank.npz` holds
each frame's camera, expression and render. No held-out frame is in it.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from pipelines.avatar.references.distance import Faces
from pipelines.core.files import read_arrays, read_image
from pipelines.media.squares import resized

FOLDER = "references"
ARRAYS = "bank.npz"
EXPECTED = {
    "source_index": "int [N]", "expression": "float [N,E]", "world_from_camera": "float [N,4,4]",
    "intrinsics": "float [N,3,3]", "openings": "float [N,3]",
    "renders": "int [N,S,S,4]",
}  # fmt: skip
QUALITY = 90
"""Of the WebP files."""
KEPT = 96
"""Frames that stay decoded."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """N filmed frames and their renders."""

    folder: Path
    source_index: np.ndarray
    """[N] frame numbers of the film: the names of the files."""
    expression: np.ndarray
    """[N,E] raw scores, in the avatar's space."""
    world_from_camera: np.ndarray
    """[N,4,4] in the generator's units."""
    intrinsics: np.ndarray
    """[N,3,3] over the picture's side."""
    openings: np.ndarray
    """[N,3] gaps of lips and lids, see pipelines.face.openings."""
    renders: np.ndarray
    """uint8 [N,S,S,4] premultiplied: the avatar with the frame's expression, from the frame's camera."""

    def __len__(self) -> int:
        return len(self.source_index)

    @property
    def faces(self) -> Faces:
        return Faces(expression=self.expression, world_from_camera=self.world_from_camera, openings=self.openings)

    def film(self, row: int, size: int) -> np.ndarray:
        """uint8 [size,size,4] premultiplied: the filmed frame."""
        return _film(self.folder / name_of(self.source_index[row]), size)


@lru_cache(maxsize=KEPT)
def _film(path: Path, size: int) -> np.ndarray:
    return premultiplied(resized(read_image(path), size))


def premultiplied(picture: np.ndarray) -> np.ndarray:
    """uint8 [H,W,4] of one with straight alpha."""
    alpha = picture[..., 3:].astype(np.uint16)
    color = (picture[..., :3] * alpha + 127) // 255
    return np.dstack([color.astype(np.uint8), picture[..., 3]])


def name_of(source_index: int) -> str:
    return f"{int(source_index):06d}.webp"


def load_bank(avatar: Path) -> Bank | None:
    """The bank of an avatar folder, or None when it was trained without one."""
    folder = avatar / FOLDER
    if not (folder / ARRAYS).exists():
        return None
    return Bank(folder=folder, **read_arrays(folder / ARRAYS, EXPECTED))
