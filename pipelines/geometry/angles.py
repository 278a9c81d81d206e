"""Angles: where a direction points, and how far apart two rotations are.

In head space (x to the person's left, y up, z out of the face) a camera at (1, 0, 1) has yaw 45 and pitch 0 degrees, one at
(0, 1, 0) pitch 90.
"""

import numpy as np


def yaw_pitch_deg(vectors: np.ndarray) -> np.ndarray:
    """[...,2] degrees of directions [...,3] of any length: yaw from z towards x, pitch above the plane of x and z."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.degrees(np.stack([np.arctan2(x, z), np.arctan2(y, np.hypot(x, z))], axis=-1))


def directions(angles_deg: np.ndarray) -> np.ndarray:
    """[...,3] unit vectors of yaw and pitch [...,2] in degrees; the way back from `yaw_pitch_deg`."""
    yaw, pitch = np.moveaxis(np.radians(angles_deg), -1, 0)
    return np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=-1)


def rotation_angle_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[...] degrees between rotations [...,3,3]: |A - B|_F = 2 sqrt(2) sin(angle / 2), which stays exact near 0."""
    chord = np.linalg.norm(a - b, axis=(-2, -1)) / (2 * np.sqrt(2))
    return np.degrees(2 * np.arcsin(np.clip(chord, 0.0, 1.0)))


def turn_and_nod_deg(rotation: np.ndarray) -> np.ndarray:
    """[...,2] degrees -y and -x of rotations R = Rz Ry Rx [...,3,3], read from the last row: how a camera sees a head turned.

    Not yaw and pitch of a direction: whoever looks aside has nodded no less.
    """
    across, up, along = rotation[..., 2, 0], rotation[..., 2, 1], rotation[..., 2, 2]
    return np.degrees(np.stack([np.arcsin(np.clip(across, -1, 1)), np.arctan2(-up, along)], axis=-1))


def shortest_rotations(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shortest rotations [T,3,3] from unit vectors [T,3] to others, and their angles [T] in radians."""
    from scipy.spatial.transform import Rotation

    axis = np.cross(start, end)
    length = np.linalg.norm(axis, axis=1)
    angle = np.arctan2(length, (start * end).sum(1))
    vectors = axis * (angle / np.maximum(length, 1e-12))[:, None]
    return Rotation.from_rotvec(vectors).as_matrix(), angle
