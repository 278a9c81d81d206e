"""Which filmed frames serve a frame of the output: unit selection, as speech synthesis does it.

Every slot (the whole head, the mouth, each eye, the brows) follows one reference through the take. A reference costs what it
lacks: the distance of its expression from the one that is asked for, in the channels of the slot, and of its view. Changing
it costs as well, and the cheapest path through the take is found by dynamic programming (Viterbi); live, the same costs decide
from frame to frame. A reference comes and goes over a few frames, so that no change is a jump.

What counts is the expression that is asked for, not the one that the render came to show: where the generator never learned to
shut its eyes, the filmed shut lids arrive all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.avatar.references.bank import Bank
from pipelines.face.channels import region_of

VIEW_DEG = 8.0
"""Angle between two cameras that counts as much as one unit of expression."""
DISTANCE = 0.15
"""The same for the logarithm of the ratio of their distances."""
SPREAD = 0.08
"""Raw scores of a channel that hardly varies in the bank are told apart by this."""
FAR = 3.0
"""No channel counts for more than this many units: a reference cannot be more wrong than wrong."""
WHOLE = 3
"""References of the whole head at a time."""
SWITCH = 1.0
"""Cost of changing a slot's reference."""
FADE = np.array([0.25, 0.75, 1.0, 0.75, 0.25])
"""How a reference comes and goes, frame by frame."""
VIEW_SHARE = {"whole": 1.0, "mouth": 0.5, "left eye": 0.5, "right eye": 0.5, "brows": 0.5}
"""How much the view counts in each slot."""
REGIONS = ("mouth", "left eye", "right eye", "brows")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The references of one frame of the output."""

    rows: np.ndarray
    """[K] rows of the bank."""
    presence: np.ndarray
    """[K] in 0..1: how far each has come."""
    lack: Mapping[str, np.ndarray]
    """[K] by region, and `whole`: the distance of the asked expression; `view`: of the view."""


def choose(bank: Bank, names: tuple[str, ...], expression: np.ndarray, world_from_camera: np.ndarray) -> list[Choice]:
    """The references for every frame of a take: raw scores [T,E] seen by cameras [T,4,4]."""
    lacks = distances(bank.expression, bank.world_from_camera, names, expression, world_from_camera)
    presence = np.zeros(lacks["view"].shape)
    for path in slots(lacks):
        presence = np.maximum(presence, faded(path, len(bank)))
    return [_choice(presence[row], {name: lack[row] for name, lack in lacks.items()}) for row in range(len(presence))]


def _choice(presence: np.ndarray, lack: Mapping[str, np.ndarray]) -> Choice:
    rows = np.flatnonzero(presence)
    return Choice(rows=rows, presence=presence[rows], lack={name: values[rows] for name, values in lack.items()})


def slots(lacks: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Paths [T] through the bank, one a slot."""
    paths = [cheapest_path(lacks[region] + VIEW_SHARE[region] * lacks["view"], SWITCH) for region in REGIONS]
    cost = lacks["whole"] + VIEW_SHARE["whole"] * lacks["view"]
    for _ in range(min(WHOLE, cost.shape[1])):
        path = cheapest_path(cost, SWITCH)
        paths.append(path)
        cost = cost.copy()
        cost[np.arange(len(path)), path] = np.inf
    return paths


def cheapest_path(cost: np.ndarray, switch: float) -> np.ndarray:
    """[T] columns of cost [T,N] whose sum, with `switch` for every change, is least."""
    total, came_from = cost[0], np.zeros(cost.shape, np.int64)
    stay = np.arange(cost.shape[1])
    for row in range(1, len(cost)):
        best = int(total.argmin())
        changed = total[best] + switch < total
        came_from[row] = np.where(changed, best, stay)
        total = np.where(changed, total[best] + switch, total) + cost[row]
    path = np.empty(len(cost), np.int64)
    path[-1] = total.argmin()
    for row in range(len(cost) - 1, 0, -1):
        path[row - 1] = came_from[row, path[row]]
    return path


def faded(path: np.ndarray, count: int) -> np.ndarray:
    """[T,count] presence of the references of one path, coming and going as FADE says."""
    member = np.zeros((len(path), count))
    member[np.arange(len(path)), path] = 1
    reach = len(FADE) // 2
    padded = np.pad(member, ((reach, reach), (0, 0)), mode="edge")
    return np.max([FADE[shift] * padded[shift : shift + len(path)] for shift in range(len(FADE))], axis=0)


def distances(
    filmed: np.ndarray, filmed_cameras: np.ndarray, names: tuple[str, ...], expression: np.ndarray, cameras: np.ndarray
) -> dict[str, np.ndarray]:
    """[T,N] squared distances of T wanted frames from N filmed ones.

    By region (mean over its channels), `whole` (mean over the regions) and `view`.
    """
    scale = np.maximum(filmed.std(0), SPREAD)
    apart = np.minimum(np.abs(expression[:, None] - filmed[None]) / scale, FAR) ** 2
    result = {region: apart[..., _channels(names, region)].mean(-1) for region in REGIONS}
    return {**result, "whole": np.mean(list(result.values()), axis=0), "view": view_distance(filmed_cameras, cameras)}


def _channels(names: tuple[str, ...], region: str) -> np.ndarray:
    """Columns of the channels of a region."""
    return np.array([column for column, name in enumerate(names) if region in _regions(name)])


def _regions(name: str) -> tuple[str, ...]:
    part = region_of(name)
    if part in ("mouth", "brows"):
        return (part,)
    return ("left eye",) if name.endswith("Left") else ("right eye",)


def view_distance(bank: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """[T,N] of bank cameras [N,4,4] and cameras [T,4,4]: squared angle over VIEW_DEG and ratio of distances over DISTANCE."""
    trace = np.einsum("tij,nij->tn", cameras[:, :3, :3], bank[:, :3, :3])
    angle = np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))
    away = np.log(np.linalg.norm(cameras[:, None, :3, 3], axis=-1) / np.linalg.norm(bank[None, :, :3, 3], axis=-1))
    return (angle / VIEW_DEG) ** 2 + (away / DISTANCE) ** 2
