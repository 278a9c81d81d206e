"""How far filmed frames are from a wanted one: in the expression of every region of the face, and in the view."""

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


def lacks(
    filmed: np.ndarray, filmed_cameras: np.ndarray, names: tuple[str, ...], expression: np.ndarray, cameras: np.ndarray
) -> dict[str, np.ndarray]:
    """[T,N] squared distances by LACKS of N filmed frames from T wanted ones.

    filmed [N,E], expression [T,E]: raw scores of the channels `names`; a region's distance is the mean over its channels.
    filmed_cameras [N,4,4], cameras [T,4,4]: poses world_from_camera in the generator's units.
    """
    scale = np.maximum(filmed.std(0), SPREAD)
    apart = np.minimum(np.abs(expression[:, None] - filmed[None]) / scale, FAR) ** 2
    by_region = {region: apart[..., channels_of(names, region)].mean(-1) for region in REGIONS}
    return {**by_region, "view": view_distance(filmed_cameras, cameras)}


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
