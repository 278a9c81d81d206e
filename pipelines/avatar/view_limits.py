"""How far a head may turn: as far as its capture showed it, and a little further.

Where a camera stands is told by two angles around the head: yaw, to the person's left, and pitch, up; (0, 0) is straight in
front. The capture's cameras span low to high in each. A view that stays within them is left alone; beyond, an angle a becomes

    a' = high + ROOM tanh((a - high) / ROOM),

on the other side likewise, so that it approaches ROOM beyond what was filmed and never passes it. A head filmed within 6
degrees whose driver turns by 10, 20, 30 and 45 is seen from 9.9, 17.0, 19.8 and 20.8. The camera goes around the head, so the
head stays where it is in the picture and as large. Roll shows nothing new and is left alone.
"""

import numpy as np

from pipelines.artifacts.avatar_record import ViewLimits
from pipelines.geometry.angles import directions, shortest_rotations, yaw_pitch_deg

ROOM_DEG = 15.0
"""Heads filmed within 6 and 12 degrees are whole up to 20 and 25 degrees, and smear at hair and jaw beyond."""
TRUSTED = (2.0, 98.0)
"""Percentiles of the capture's cameras: a single frame teaches little."""
NOTED_DEG = 1.0
"""A view that is turned back by more is noted."""


def standpoints(world_from_camera: np.ndarray) -> np.ndarray:
    """[T,2] yaw and pitch, degrees, of where cameras [T,4,4] stand that look at the head."""
    return yaw_pitch_deg(-np.asarray(world_from_camera, np.float64)[:, :3, 2])


def view_limits_of(world_from_camera: np.ndarray) -> ViewLimits:
    """What a capture's cameras [N,4,4] span."""
    low, high = np.percentile(standpoints(world_from_camera), TRUSTED, axis=0).round(2).tolist()
    return ViewLimits(yaw_deg=(low[0], high[0]), pitch_deg=(low[1], high[1]))


def turned_back(world_from_camera: np.ndarray, known: ViewLimits, frontal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cameras [T,4,4] brought near what is known, and by how many degrees each [T]; the `frontal` one [4,4] counts as known."""
    asked, own = standpoints(world_from_camera), standpoints(frontal[None])[0]
    low, high = np.array([known.yaw_deg, known.pitch_deg]).T
    kept = eased(asked, np.minimum(low, own), np.maximum(high, own))
    turn, angle = shortest_rotations(directions(asked), directions(kept))
    result = np.array(world_from_camera, np.float64)
    result[:, :3] = turn @ result[:, :3]
    return np.where((angle > 1e-9)[:, None, None], result, world_from_camera), np.degrees(angle)


def eased(values: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """`values` [T,2] that approach ROOM_DEG beyond `low` and `high` [2] and never pass it."""
    inside = np.clip(values, low, high)
    return inside + ROOM_DEG * np.tanh((values - inside) / ROOM_DEG)
