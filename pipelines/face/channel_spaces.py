"""Expression scores between spaces: the 52 ARKit names are the common tongue.

A measured channel such as jawLeft is signed and says the opposite shape (`OPPOSITE`) with its negative values, so
`jawLeft = -0.3` is `jawRight = 0.3`; that way back and forth is exact. All other channels keep their name and value.
"""

from dataclasses import replace

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.face.expression import ARKIT_52, MEASURED, OPPOSITE, space_names
from pipelines.face.track import Track

ARKIT = "arkit"
"""Space of tracks that come as ARKit shapes from elsewhere; scored like `blendshapes`."""


def in_space(track: Track, space: str, said: str) -> Track:
    """The track in an avatar's space; UnusableMaterial, beginning with `said`, when channels that it needs are not there."""
    names = space_names(space)
    if track.names == names:
        return replace(track, space=space)
    shapes = to_arkit(track)
    needed = {part for name in names for part in (name, OPPOSITE.get(name, name))} if space == "measured" else set(ARKIT_52)
    missing = sorted(needed - set(shapes)) if track.space != "measured" else []
    if missing:
        raise UnusableMaterial(f"{said} has no {few(missing)}, which this avatar needs; give a driver with all 52 shapes.")
    return replace(track, space=space, names=names, expression=from_arkit(shapes, space, len(track.times_s)))


def few(names: list[str]) -> str:
    """At most four names, then how many more."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def to_arkit(track: Track) -> dict[str, np.ndarray]:
    """[T] scores by ARKit name; of a measured track all 52, those it does not know being 0."""
    columns = dict(zip(track.names, np.asarray(track.expression, np.float32).T, strict=True))
    if track.space != "measured":
        return columns
    result = dict.fromkeys(ARKIT_52, np.zeros(len(track.times_s), np.float32)) | columns
    for name, opposite in OPPOSITE.items():
        result[name], result[opposite] = np.maximum(columns[name], 0.0), np.maximum(-columns[name], 0.0)
    return result


def from_arkit(shapes: dict[str, np.ndarray], space: str, count: int) -> np.ndarray:
    """float32 [T,E] of `measured` or `blendshapes`; a shape that is not there counts as 0."""
    zero = np.zeros(count, np.float32)
    if space != "measured":
        return np.stack([shapes.get(name, zero) for name in ARKIT_52], axis=1)
    columns = [shapes.get(name, zero) - shapes.get(OPPOSITE.get(name, ""), zero) for name in MEASURED]
    return np.stack(columns, axis=1).astype(np.float32)
