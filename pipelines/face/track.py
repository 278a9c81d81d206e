"""A driver's motion, and its file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, write_arrays

SCHEMA = 1
ROWS = ("times_s", "expression", "world_from_head", "confidence", "valid")
OPTIONAL = ("shot", "hidden", "openings")
SPACES = ("measured", "blendshapes", "arkit")
RATES_HZ = (0.5, 1000.0)
LONGEST_S, LONGEST_LAST_S = 86_400.0, 60.0
"""Of a whole track, and of its last row."""
LEAST_MOVING = 5
MOST_CHANNELS = 1000
LARGEST_SCORE = 1000.0
"""Full expressions are about 1."""
BENT = 0.05
"""Departure of a rotation's product with its transpose from 1 from which on it is none."""


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
    shot: np.ndarray | None = None
    """[T] int, number of the shot of a row: nothing is smoothed across a cut. None: one shot."""
    hidden: np.ndarray | None = None
    """[T,2] bool, mouth and eyes, where something lies before them and their channels are held. None: nowhere."""
    openings: np.ndarray | None = None
    """[T,3] gaps of lips and lids, see pipelines.face.openings. None: the track's source does not say."""
    remarks: tuple[str, ...] = ()
    """What a person should know about how the file was read; not kept in one."""
    duration_s: float | None = None
    """Length of what was tracked, where that is known: the last row's own length is in it."""

    @property
    def length_s(self) -> float:
        return self.duration_s or float(self.times_s[-1] - self.times_s[0]) + 1 / self.rate_hz

    @property
    def is_still(self) -> bool:
        """Too few rows to tell a rest from an expression: a photo, or hardly more."""
        return len(self.valid) < LEAST_MOVING

    @property
    def shots(self) -> np.ndarray:
        return self.shot if self.shot is not None else np.zeros(len(self.valid), int)

    @property
    def covered(self) -> np.ndarray:
        """[T,2] bool, mouth and eyes."""
        return self.hidden if self.hidden is not None else np.zeros((len(self.valid), 2), bool)


def save_track(path: Path, track: Track) -> None:
    write_arrays(
        path, space=np.array(track.space), names=np.array(track.names), rate_hz=np.array(track.rate_hz), times_s=track.times_s,
        expression=track.expression, world_from_head=track.world_from_head, confidence=track.confidence, valid=track.valid,
        duration_s=np.array(track.duration_s or 0.0), schema=np.array(SCHEMA),
        **{name: getattr(track, name) for name in OPTIONAL if getattr(track, name) is not None},
    )  # fmt: skip


def load_track(path: Path) -> Track:
    """The track in a file; UnusableMaterial when it is another file, of another schema, or holds what no driver does."""
    values = read_arrays(path)
    missing = [name for name in ("space", "names", "rate_hz", *ROWS) if name not in values]
    if not missing and (wrong := _of_arrays(values)):
        raise UnusableMaterial(f"{path} is not a track ({wrong}); {_again(path)}.")
    if missing or int(values.get("schema", SCHEMA)) != SCHEMA:
        why = f"it has no {missing[0]}" if missing else f"it has schema {values['schema']}; this version reads {SCHEMA}"
        raise UnusableMaterial(f"{path} is not a track ({why}); {_again(path)}.")
    track = Track(
        space=str(values["space"]), names=tuple(map(str, values["names"])), rate_hz=float(values["rate_hz"]),
        duration_s=float(values.get("duration_s", 0.0)) or None, valid=values["valid"].astype(bool),
        shot=values.get("shot"), times_s=values["times_s"],
        expression=values["expression"], world_from_head=values["world_from_head"], confidence=values["confidence"],
        hidden=values["hidden"].astype(bool) if "hidden" in values else None, openings=values.get("openings"),
    )  # fmt: skip
    if wrong := _of_values(track):
        raise UnusableMaterial(f"{path} cannot drive: {wrong}; {_again(path)}.")
    return track


def _again(path: Path) -> str:
    return f"make one with `avatarcli track VIDEO -o {path.stem}.track`"


def _of_arrays(values: dict[str, np.ndarray]) -> str:
    """What is wrong with types and shapes, empty when nothing is."""
    count = len(values["times_s"]) if values["times_s"].ndim == 1 else 0
    names = values["names"]
    if (
        names.ndim != 1
        or not 0 < len(names) <= MOST_CHANNELS
        or names.dtype.kind != "U"
        or len(set(names.tolist())) < len(names)
    ):
        return "names are no list of different channels"
    shapes = {
        "times_s": (count,), "expression": (count, len(names)), "world_from_head": (count, 4, 4), "confidence": (count,),
        "valid": (count,), "shot": (count,), "hidden": (count, 2), "openings": (count, 3),
        "rate_hz": (), "space": (), "duration_s": (), "schema": (),
    }  # fmt: skip
    for name, shape in shapes.items():
        value = values.get(name)
        if value is not None and (value.shape != shape or (value.dtype.kind not in "fiub" and name != "space")):
            return f"{name} is {value.dtype} {list(value.shape)}, not numbers {list(shape)}"
    return "" if count else "it has no rows"


def _of_values(track: Track) -> str:
    """What is wrong with the numbers, empty when nothing is."""
    for name in ("times_s", "expression", "world_from_head", "confidence", "openings"):
        if getattr(track, name) is not None and not np.isfinite(getattr(track, name)).all():
            return f"{name} is not finite in row {int(np.argwhere(~np.isfinite(getattr(track, name)))[0][0])}"
    steps, span_s = np.diff(track.times_s), float(track.times_s[-1] - track.times_s[0])
    turns = track.world_from_head[:, :3, :3]
    bent = np.abs(turns @ turns.swapaxes(1, 2) - np.eye(3)).max((1, 2)) > BENT
    bent |= (np.linalg.det(turns) < 0) | (np.abs(track.world_from_head[:, 3] - [0, 0, 0, 1]).max(1) > BENT)
    duration_s = span_s if track.duration_s is None else track.duration_s
    wrong = {
        f"there is no expression space {track.space[:40]!r}": track.space not in SPACES,
        f"rate_hz is {track.rate_hz:g}, not {RATES_HZ[0]:g} to {RATES_HZ[1]:g}":
            not RATES_HZ[0] <= track.rate_hz <= RATES_HZ[1],
        f"its times do not grow in row {int(np.argmax(np.append(steps, 0) <= 0)) + 1}": bool((steps <= 0).any()),
        f"it is {span_s:g} s long, more than a day": span_s > LONGEST_S,
        f"duration_s is {duration_s:g}, its rows span {span_s:g} s":
            not span_s - 1e-3 <= duration_s <= span_s + LONGEST_LAST_S,
        f"world_from_head is no pose in row {int(np.argmax(bent))}": bool(bent.any()),
        f"a head is not before the camera in row {int(np.argmin(track.world_from_head[:, 2, 3]))}":
            bool((track.world_from_head[track.valid, 2, 3] <= 0).any()),
        f"expression reaches {np.abs(track.expression).max():g}": bool(np.abs(track.expression).max() > LARGEST_SCORE),
        "confidence lies outside of 0 to 1": bool((track.confidence < 0).any() or (track.confidence > 1).any()),
    }  # fmt: skip
    return next((said for said, is_wrong in wrong.items() if is_wrong), "")
