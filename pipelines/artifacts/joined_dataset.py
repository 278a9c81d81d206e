"""Several captures of one person as one dataset: they are views of one head frame, so their cameras need no change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.artifacts.dataset import Dataset

PAUSE_S = 1.0
"""Between the last frame of a capture and the first of the next."""


@dataclass(frozen=True, kw_only=True)
class Joined(Dataset):
    """Rows of the parts one after the other; a held-out frame of a part stays held out."""

    parts: tuple[Dataset, ...]

    def inside(self, rows: np.ndarray, size: int) -> np.ndarray:
        return of_parts(self.parts, rows, lambda part, own: part.inside(own, size))

    def tracking(self) -> dict[str, np.ndarray]:
        """What all parts have."""
        every = [part.tracking() for part in self.parts]
        shared = [name for name in every[0] if all(name in arrays for arrays in every)]
        return {name: np.concatenate([arrays[name] for arrays in every]) for name in shared}


@dataclass(frozen=True, kw_only=True)
class JoinedPixels:
    """The pictures of the parts."""

    parts: tuple[Dataset, ...]

    def images(self, rows: np.ndarray, size: int) -> np.ndarray:
        return of_parts(self.parts, rows, lambda part, own: part.images(own, size))

    def person_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        return of_parts(self.parts, rows, lambda part, own: part.person_mattes(own, size))

    def head_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        return of_parts(self.parts, rows, lambda part, own: part.head_mattes(own, size))


def of_parts(parts: Sequence[Dataset], rows: np.ndarray, read: Callable[[Dataset, np.ndarray], np.ndarray]) -> np.ndarray:
    """`read(part, own rows)` [K,...] for `rows` [K] of the whole, in their order."""
    first = np.cumsum([0, *(len(part.names) for part in parts)])
    owner = np.searchsorted(first, rows, side="right") - 1
    order = np.argsort(owner, kind="stable")
    pieces = [read(parts[part], rows[owner == part] - first[part]) for part in np.unique(owner)]
    return np.concatenate(pieces)[np.argsort(order, kind="stable")]


def join(parts: tuple[Dataset, ...]) -> Joined:
    """Times and source frames go on where the part before ends: 0 to 2 s and 0 to 3 s become 0 to 2 s and 3 to 6 s."""
    begins, frames = [0.0], [0]
    for part in parts:
        begins.append(begins[-1] + float(np.ptp(part.time_s)) + PAUSE_S)
        frames.append(frames[-1] + int(part.source_index.max()) + 1)
    every = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("split", "weight", "world_from_camera", "intrinsics", "box")
    }
    return Joined(
        folder=parts[0].folder, frame_size=parts[0].frame_size, parts=parts, pixels=JoinedPixels(parts=parts),
        names=[f"{number}/{name}" for number, part in enumerate(parts) for name in part.names],
        time_s=np.concatenate([part.time_s - part.time_s.min() + begin for part, begin in zip(parts, begins, strict=False)]),
        source_index=np.concatenate([part.source_index + first for part, first in zip(parts, frames, strict=False)]), **every,
    )  # fmt: skip
