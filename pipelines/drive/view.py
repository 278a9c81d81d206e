"""Cameras of the output: the avatar's frontal camera, moved as the driver's head moves, swaying around it, or still.

A head that turns before a fixed camera is a camera that moves around a fixed head: camera_from_head is the driver's motion
relative to its own mean, applied to the frontal pose, and world_from_camera is its inverse.
"""

import numpy as np

from pipelines.artifacts import Track
from pipelines.drive.retarget import one_euro
from pipelines.drive.settings import ViewSettings
from pipelines.drive.track import nearest_rotation


def driver_view(frontal: np.ndarray, track: Track, settings: ViewSettings) -> np.ndarray:
    """world_from_camera [T,4,4] from `frontal` [4,4] and the track's poses, calmed and limited.

    Rotation: R_t = limited(R_driver R_mean^-1)^turn R_frontal. Translation sideways in head units, in depth as a ratio.
    """
    good = track.valid & (track.confidence > 0.25)
    good = good if good.any() else np.ones(len(track.valid), bool)
    rotation, position = track.world_from_head[:, :3, :3], track.world_from_head[:, :3, 3]
    mean = nearest_rotation(rotation[good].mean(0)[None])[0]
    turns = soft_limit(rotation_vectors(rotation @ mean.T) * settings.turn, np.radians(settings.turn_limit_deg))
    sideways = position[:, :2] - np.median(position[good, :2], axis=0)
    depth = np.log(position[:, 2] / np.median(position[good, 2]))
    shifts = soft_limit(np.column_stack([sideways, depth]) * settings.shift, settings.shift_limit)
    calm = one_euro(np.column_stack([turns, shifts]) * 4.0, track.rate_hz, settings.smooth_hz, 2.0) / 4.0
    return _seen_from(frontal, calm[:, :3], calm[:, 3:])


def _seen_from(frontal: np.ndarray, turns: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    camera_from_head = np.tile(np.linalg.inv(frontal), (len(turns), 1, 1))
    camera_from_head[:, :3, :3] = rotations(turns) @ camera_from_head[:, :3, :3]
    camera_from_head[:, 2, 3] *= np.exp(shifts[:, 2])
    camera_from_head[:, :2, 3] += shifts[:, :2]
    return np.linalg.inv(camera_from_head)


def orbit_view(frontal: np.ndarray, times_s: np.ndarray, settings: ViewSettings) -> np.ndarray:
    """world_from_camera [T,4,4] that sways around the head's upright axis, starting frontal."""
    angle = np.radians(settings.orbit_deg) * np.sin(2 * np.pi * times_s / settings.orbit_period_s)
    zero = np.zeros_like(angle)
    turned = np.tile(np.eye(4), (len(angle), 1, 1))
    turned[:, :3, :3] = rotations(np.column_stack([zero, angle, zero]))
    return turned @ frontal


def still_view(frontal: np.ndarray, count: int) -> np.ndarray:
    return np.tile(frontal, (count, 1, 1))


def soft_limit(vectors: np.ndarray, limit: float) -> np.ndarray:
    """`vectors` [T,3] with length l shortened to limit * tanh(l / limit): small ones stay as they are."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors * np.where(length > 1e-9, limit * np.tanh(length / limit) / np.maximum(length, 1e-9), 1.0)


def rotation_vectors(matrices: np.ndarray) -> np.ndarray:
    """[T,3] axis times angle of rotations [T,3,3]."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(matrices).as_rotvec()


def rotations(vectors: np.ndarray) -> np.ndarray:
    """[T,3,3] of axis times angle [T,3]."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(vectors).as_matrix()
