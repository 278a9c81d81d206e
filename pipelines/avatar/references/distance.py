"""How far filmed frames are from a wanted one: in the expression of every region of the face, and in the view."""

from dataclasses import dataclass

import numpy as np

from pipelines.face.channels import region_of

VIEW_DEG = 8.0
"""Angle between two cameras that counts as much as one unit of expression."""
NEARNESS = 0.15
"""The same for the logarithm of the ratio of their distances."""
SPREAD = 0.08
"""Raw scores of a channel that hardly varies in the film are told apart by this."""
FAR = 3.0
"""No channel counts for more than this many units: a reference cannot be more wrong than wrong."""
REGIONS = ("mouth", "left eye", "right eye", "brows")
LACKS = (*REGIONS, "view")
OPENINGS = {"mouth": (0, 0.04, 1.5), "left eye": (1, 0.2, 2.0), "right eye": (2, 0.2, 2.0)}
"""By region: the column of `pipelines.face.openings`, the difference that counts as one unit, and its weight beside channels:
lips that the driver shuts are to be shut, whatever the rest of both people is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Faces:
    """What a frame shows, a row a frame, filmed or wanted."""

    expression: np.ndarray
    """[T,E] raw scores."""
    world_from_camera: np.ndarray
    """[T,4,4] in the generator's units."""
    openings: np.ndarray
    """[T,3] gaps of lips and lids, see pipelines.face.openings; NaN where they do not count."""

    def __len__(self) -> int:
        return len(self.expression)

    def rows(self, rows: slice | np.ndarray) -> "Faces":
        return Faces(**{name: values[rows] for name, values in vars(self).items()})

    @classmethod
    def of(cls, expression: np.ndarray, cameras: np.ndarray, openings: np.ndarray | None = None) -> "Faces":
        """With openings that do not count, where none are given."""
        gaps = np.full((len(expression), 3), np.nan) if openings is None else openings
        return cls(expression=expression, world_from_camera=cameras, openings=gaps)


def lacks(filmed: Faces, wanted: Faces, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """[T,N] squared distances by LACKS of N filmed frames from T wanted ones, with scores of the channels `names`.

    A region's distance is the mean over its channels, and what lips or lids lack.
    """
    scale = np.maximum(filmed.expression.std(0), SPREAD)
    apart = np.minimum(np.abs(wanted.expression[:, None] - filmed.expression[None]) / scale, FAR) ** 2
    by_region = {region: apart[..., channels_of(names, region)].mean(-1) for region in REGIONS}
    for region, (column, unit, weight) in OPENINGS.items():
        gap = np.minimum(np.abs(wanted.openings[:, None, column] - filmed.openings[None, :, column]) / unit, FAR) ** 2
        by_region[region] = by_region[region] + weight * np.nan_to_num(gap, nan=0.0)
    return {**by_region, "view": view_distance(filmed.world_from_camera, wanted.world_from_camera)}


def channels_of(names: tuple[str, ...], region: str) -> np.ndarray:
    """Columns of the channels of a region."""
    return np.array([column for column, name in enumerate(names) if region_of_channel(name) == region], int)


def region_of_channel(name: str) -> str:
    part = region_of(name)
    if part in ("mouth", "brows"):
        return part
    return "left eye" if name.endswith("Left") else "right eye"


def view_distance(filmed: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """[T,N] of cameras [N,4,4] and [T,4,4]: squared angle over VIEW_DEG, and logarithm of their distances over NEARNESS."""
    trace = np.einsum("tij,nij->tn", cameras[:, :3, :3], filmed[:, :3, :3])
    angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    away = np.log(np.linalg.norm(cameras[:, None, :3, 3], axis=-1) / np.linalg.norm(filmed[None, :, :3, 3], axis=-1))
    return (angle / VIEW_DEG) ** 2 + (away / NEARNESS) ** 2
