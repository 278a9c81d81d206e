"""Several captures of one person as one dataset: they share the head space of one prior, so their cameras need no change."""

from dataclasses import dataclass

import numpy as np

from pipelines.artifacts.dataset import Dataset

PAUSE_S = 1.0
"""Between the last frame of a capture and the first of the next."""


@dataclass(frozen=True, kw_only=True)
class Joined(Dataset):
    """Rows of the parts one after the other; a held-out frame of a part stays held out."""

    parts: tuple[Dataset, ...]

    def images(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self._of_parts("images", rows, size)

    def head_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self._of_parts("head_mattes", rows, size)

    def inside(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self._of_parts("inside", rows, size)

    def tracking(self) -> dict[str, np.ndarray]:
        """What all parts have."""
        found = [part.tracking() for part in self.parts]
        shared = [name for name in found[0] if all(name in one for one in found)]
        return {name: np.concatenate([one[name] for one in found]) for name in shared}

    def _of_parts(self, what: str, rows: np.ndarray, size: int) -> np.ndarray:
        first = np.cumsum([0, *(len(part.names) for part in self.parts)])
        owner = np.searchsorted(first, rows, side="right") - 1
        return np.concatenate(
            [
                getattr(self.parts[part], what)(np.array([row - first[part]]), size)
                for part, row in zip(owner, rows, strict=True)
            ]
        )


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
        folder=parts[0].folder, frame_size=parts[0].frame_size, parts=parts,
        names=[f"{number}/{name}" for number, part in enumerate(parts) for name in part.names],
        time_s=np.concatenate([part.time_s - part.time_s.min() + begin for part, begin in zip(parts, begins, strict=False)]),
        source_index=np.concatenate([part.source_index + first for part, first in zip(parts, frames, strict=False)]), **every,
    )  # fmt: skip
