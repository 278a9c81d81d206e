"""A driver's motion, and its file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, write_arrays

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Track:
    """A driver's motion, a row a frame."""

    space: str
    """Name of the expression space, see pipelines.face.expression."""
    names: tuple[str, ...]
    rate_hz: float
    times_s: np.ndarray
    expression: np.ndarray
    """[T,E] raw scores of the space."""
    world_from_head: np.ndarray
    """[T,4,4] the driver's camera frame as world, OpenCV axes."""
    confidence: np.ndarray
    valid: np.ndarray
    """[T] bool; False where the face was lost and the row is interpolated or held."""
    duration_s: float | None = None
    """Length of what was tracked, where that is known: the last row's own length is in it."""

    @property
    def length_s(self) -> float:
        return self.duration_s or float(self.times_s[-1] - self.times_s[0]) + 1 / self.rate_hz


def save_track(path: Path, track: Track) -> None:
    write_arrays(
        path, space=np.array(track.space), names=np.array(track.names), rate_hz=np.array(track.rate_hz), times_s=track.times_s,
        expression=track.expression, world_from_head=track.world_from_head, confidence=track.confidence, valid=track.valid,
        duration_s=np.array(track.duration_s or 0.0), schema=np.array(SCHEMA),
    )  # fmt: skip


def load_track(path: Path) -> Track:
    """The track in a file; UnusableMaterial when it is another file or of another schema."""
    values = read_arrays(path)
    rows = ("times_s", "expression", "world_from_head", "confidence", "valid")
    missing = [name for name in ("space", "names", "rate_hz", *rows) if name not in values]
    if missing or int(values.get("schema", SCHEMA)) != SCHEMA:
        why = f"it has no {missing[0]}" if missing else f"it has schema {values['schema']}, this version reads {SCHEMA}"
        raise UnusableMaterial(f"{path} is no track ({why}); make one with `avatarcli track VIDEO -o {path.stem}.track`.")
    return Track(
        space=str(values["space"]), names=tuple(map(str, values["names"])), rate_hz=float(values["rate_hz"]),
        duration_s=float(values.get("duration_s", 0.0)) or None, **{name: values[name] for name in rows},
    )  # fmt: skip
