"""Six joints and how skin and hair follow them: head, neck, collars, shoulders, on a chest that stays.

posed = sum_j weight_j T_j rest with T_chest = 1 and T_j = T_parent shift(p_j) R_j shift(-p_j); weights depend on the rest
position alone, so hair, shirt and skin agree. Centimeters of the face model; the chest is the world.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from pipelines.prior.people.numbers import smooth

JOINTS = ("chest", "head", "neck", "left_collar", "right_collar", "left_shoulder", "right_shoulder")
PARENTS = (0, 2, 0, 0, 0, 3, 4)
CHEST, HEAD = 0, 1


@dataclass(frozen=True)
class Posture:
    """Degrees: the head's turn (yaw to the person's left, pitch up, roll) shared by neck and head; shrug and droop a side."""

    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shrug: tuple[float, float] = (0.0, 0.0)
    droop: tuple[float, float] = (0.0, 0.0)


def draw_posture(random: np.random.Generator) -> Posture:
    turn = (float(random.normal(0, 7)), float(random.normal(0, 4)), float(random.normal(0, 3)))
    both = float(random.normal(0, 3))
    shrug = (both + float(random.normal(0, 1)), both + float(random.normal(0, 1)))
    return Posture(turn, shrug, (float(random.normal(0, 4)), float(random.normal(0, 4))))


def rest_joints(shoulders_cm: float) -> np.ndarray:
    """[7,3] positions in the rest pose."""
    side = 0.78 * shoulders_cm
    return np.array(
        [[0, -24, -3], [0, -3.0, -1.5], [0, -12.0, -3.5], [3, -17.5, -2], [-3, -17.5, -2], [side, -19, -2], [-side, -19, -2]]
    )


def skinning_weights(points: np.ndarray, shoulders_cm: float) -> np.ndarray:
    """[N,7] of rest positions [N,3]; they sum to 1. The crown (0, 12, 0) belongs to the head alone."""
    x, level = points[:, 0], points[:, 1] + 0.15 * points[:, 2]
    head, above = smooth(-11.5, -5.0, level), smooth(-17.5, -11.0, level)
    below = 1 - above
    side = smooth(1.0, 0.4 * shoulders_cm, np.abs(x)) * below
    shoulder = smooth(0.6 * shoulders_cm, 0.95 * shoulders_cm, np.abs(x)) * side
    left = x > 0
    sides = [np.where(which, part, 0) for part in (side - shoulder, shoulder) for which in (left, ~left)]
    return np.stack([below - side, head, above - head, *sides], 1).astype(np.float32)


def transforms(posture: Posture, joints: np.ndarray) -> np.ndarray:
    """[7,4,4] from rest to posed positions, chest as the world."""
    yaw, pitch, roll = posture.turn
    turns = [Rotation.identity()] * len(JOINTS)
    turns[1] = Rotation.from_euler("YXZ", [0.55 * yaw, -0.6 * pitch, 0.6 * roll], degrees=True)
    turns[2] = Rotation.from_euler("YXZ", [0.45 * yaw, -0.4 * pitch, 0.4 * roll], degrees=True)
    for side, sign in ((0, 1), (1, -1)):
        turns[3 + side] = Rotation.from_euler("Z", sign * posture.shrug[side], degrees=True)
        turns[5 + side] = Rotation.from_euler("Z", -sign * posture.droop[side], degrees=True)
    out = np.tile(np.eye(4), (len(JOINTS), 1, 1))
    for joint in (0, 2, 1, 3, 4, 5, 6):
        local = np.eye(4)
        local[:3, :3] = turns[joint].as_matrix()
        local[:3, 3] = joints[joint] - local[:3, :3] @ joints[joint]
        out[joint] = local if joint == CHEST else out[PARENTS[joint]] @ local
    return out


def skin_points(points: np.ndarray, weights: np.ndarray, joint_transforms: np.ndarray) -> np.ndarray:
    """[N,3] rest points moved by blended transforms."""
    blended = (weights @ joint_transforms[:, :3].reshape(len(JOINTS), 12).astype(np.float32)).reshape(-1, 3, 4)
    moved = np.einsum("nij,nj->ni", blended[:, :, :3], points.astype(np.float32)) + blended[:, :, 3]
    return moved.astype(np.float32)


def moved(points: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Points [...,3] under one rigid transform."""
    return points @ transform[:3, :3].T + transform[:3, 3]
