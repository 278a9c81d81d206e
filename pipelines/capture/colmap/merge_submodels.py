"""Partial models of one scene, joined by similarities: over the views they share, else over the landmark poses.

Notable choices: what comes of it are poses to start from and no cameras. COLMAP triangulates all features from them and adjusts
both, and what that gives has to pass the same tests as any model. A part that turns against the head, or whose shared views lie
elsewhere in the larger part, is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.capture.cameras.candidate import Candidate
from pipelines.capture.colmap.acceptance import Model
from pipelines.capture.dataset.alignment import Alignment
from pipelines.geometry.angles import rotation_angle_deg

SHARED = 4
"""Views that two parts share, for one to be laid over the other by them."""
MOST_TURN_DEG, MOST_SHIFT = 5.0, 0.15
"""How far turns and places (over the distance) of a part may lie from the landmark poses in the median."""
SHARED_TURN_DEG, SHARED_SHIFT = 2.0, 0.04
"""The same for views that two models share."""


@dataclass(frozen=True)
class Fit:
    """A similarity between two sets of cameras, and what it leaves in the median."""

    to_other: Alignment
    turn_deg: float
    shift: float
    """Over the cameras' distance from the origin of the other."""


def joined(models: Sequence[Model], reference: Candidate) -> np.ndarray | None:
    """camera_from_head [N,4,4] of all frames: the parts', the larger first, else the reference's; None where no two fit."""
    poses, known = reference.camera_from_world.copy(), np.zeros(len(reference.camera_from_world), bool)
    count = 0
    for model in sorted(models, key=lambda one: -len(one.rows)):
        placed = _placed(model, poses, known, reference)
        fresh = ~known[model.rows]
        if placed is None or not fresh.any():
            continue
        poses[model.rows[fresh]] = placed[fresh]
        known[model.rows] = True
        count += 1
    return poses if count >= 2 else None


def _placed(model: Model, poses: np.ndarray, known: np.ndarray, reference: Candidate) -> np.ndarray | None:
    """camera_from_head [K,4,4] of a part, None where it does not fit."""
    over = fit(model.camera_from_world, reference.camera_from_world[model.rows])
    if over.turn_deg > MOST_TURN_DEG or over.shift > MOST_SHIFT:
        return None
    shared = known[model.rows]
    if shared.sum() >= SHARED:
        over = fit(model.camera_from_world[shared], poses[model.rows[shared]])
        if over.turn_deg > SHARED_TURN_DEG or over.shift > SHARED_SHIFT:
            return None
    return over.to_other.camera_from_head(model.camera_from_world)


def fit(camera_from_world: np.ndarray, camera_from_other: np.ndarray, rounds: int = 10) -> Fit:
    """The similarity from world to other that lays cameras [K,4,4] over cameras: the mean turn, then scale and shift of the
    eyes by least squares, both reweighted by 1 / distance."""
    from scipy.spatial.transform import Rotation

    ours, theirs = camera_from_world[:, :3, :3], camera_from_other[:, :3, :3]
    eyes, goal = (np.linalg.inv(poses)[:, :3, 3] for poses in (camera_from_world, camera_from_other))
    distance = float(np.median(np.linalg.norm(goal, axis=1)))
    weight, off = np.ones(len(ours)), np.zeros(len(ours))
    turn = np.eye(3)
    for _ in range(rounds):
        turn = Rotation.from_matrix(theirs.transpose(0, 2, 1) @ ours).mean(weights=weight).as_matrix()
        off = rotation_angle_deg(ours, theirs @ turn)
        weight = 1 / np.maximum(off, 0.5)
    turned, share = eyes @ turn.T, np.ones(len(ours))
    scale, shift, away = 1.0, np.zeros(3), np.zeros(len(ours))
    for _ in range(rounds):
        middle, target = (np.average(points, axis=0, weights=share) for points in (turned, goal))
        spread, wanted = turned - middle, goal - target
        scale = float((share[:, None] * spread * wanted).sum() / max((share[:, None] * spread**2).sum(), 1e-12))
        shift = target - scale * middle
        away = np.linalg.norm(scale * turned + shift - goal, axis=1) / distance
        share = 1 / np.maximum(away, 0.01)
    to_other = Alignment(scale=scale, rotation=turn, shift=shift, rms_m=float(np.sqrt(np.mean(away**2))))
    return Fit(to_other, float(np.median(off)), float(np.median(away)))
