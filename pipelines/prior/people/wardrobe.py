"""What people wear: a shirt over neck and shoulders, glasses. Rest pose, cm."""

from dataclasses import dataclass

import numpy as np

from pipelines.prior.people.numbers import normalize, smooth
from pipelines.prior.people.stock import Stock
from pipelines.prior.people.traits import Traits

RINGS = (
    (0.72, -0.7, 0.75), (0.86, -1.6, 1), (0.95, -3.2, 1), (1.0, -5.5, 1), (1.03, -8.5, 1), (1.05, -13, 1), (1.05, -20, 1),
    (1.04, -30, 1), (1.02, -45, 1),
)  # fmt: skip
"""Rings of the trunk below the neck: width, height and how much it is the trunk rather than the neck."""
COLLARS = (0.0, 1.6, 2.8)


@dataclass(frozen=True)
class Shirt:
    """A surface over the lower neck and the trunk."""

    points: np.ndarray
    """[N,3]"""
    rest: np.ndarray
    """[N,3] on the mean head, for the pattern."""
    faces: np.ndarray
    edge: np.ndarray
    """[skin vertices] cm below the collar's edge; positive skin is drawn as cloth."""


def shirt(stock: Stock, traits: Traits, points: np.ndarray, normals: np.ndarray) -> Shirt:
    """The shirt of a person with neutral vertices and normals [V,3]."""
    count = stock.skin_count
    mean, skin = stock.model.mean[:count], points[:count]
    edge = _below_collar(mean, traits.collar)
    cloth = skin + normals[:count] * np.clip((edge - 0.35) * 0.22, 0, 0.3)[:, None]
    trunk = _trunk(cloth[stock.neck_loop], traits.shoulders_cm)
    faces = stock.model.faces[: stock.model.part_triangles["head_neck"].stop]
    neck = faces[(edge[faces] > 0).all(1) & (mean[faces][..., 1] < -8).all(1)]
    both = np.concatenate([neck, _trunk_faces(stock.neck_loop, count)])
    used, inverse = np.unique(both, return_inverse=True)
    return Shirt(
        points=np.concatenate([cloth, trunk])[used].astype(np.float32), rest=np.concatenate([mean, trunk])[used],
        faces=inverse.reshape(-1, 3).astype(np.int32), edge=np.where(mean[:, 1] < -7, edge, -1.0).astype(np.float32),
    )  # fmt: skip


def _below_collar(mean: np.ndarray, collar: int) -> np.ndarray:
    """cm below the edge of the collar on the mean head; it stands higher at the nape and a V is cut in front."""
    x, y, z = mean.T
    below = -11.3 - COLLARS[collar] - y + (z < -1) * np.minimum(3.2, np.maximum(0, -1 - z))
    return below - np.clip(2.5 - np.abs(x) * 0.6, 0, 2.5) * (z > 0) if collar == 2 else below


def _trunk(loop: np.ndarray, width: float, depth: float = 9.5) -> np.ndarray:
    """Rings of the trunk; each is a rounded box that falls from the neck over the shoulders."""
    angle = np.arctan2(loop[:, 0] / 1.35, loop[:, 2] + 2.0)
    side = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.75
    front = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.8
    slope = np.interp(np.abs(side), [0, 0.6, 1], [-20.2, -18.0, -16.2])
    rings = []
    for scale, height, share in RINGS:
        ring = np.stack([side * width * scale, slope + height, -2.0 + front * depth * (0.75 + 0.45 * scale)], 1)
        rings.append(loop * (1 - share) + ring * share)
    return np.concatenate(rings)


def _trunk_faces(loop: np.ndarray, offset: int) -> np.ndarray:
    """Triangles between the neck's loop (skin vertices) and the rings that follow all skin vertices."""
    size = len(loop)
    number = np.concatenate([loop, offset + np.arange(size * len(RINGS))]).reshape(-1, size)
    a, b = number[:-1], np.roll(number[:-1], -1, 1)
    c, d = number[1:], np.roll(number[1:], -1, 1)
    return np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([b, d, c], -1).reshape(-1, 3)])


def shade_under_chin(rest: np.ndarray) -> np.ndarray:
    """[N] ambient occlusion of the shirt: darker close below the chin."""
    return np.clip(0.55 + 0.45 * smooth(0, -3.0, rest[:, 1] + 11), 0, 1)


def glasses(stock: Stock, traits: Traits, points: np.ndarray, eyes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of frames before the eyes [2,3] (left first)."""
    marks = points[stock.model.landmarks]
    front = max(marks[27, 2] + 0.35, marks[[37, 44], 2].max() + 1.3)
    turn, round_ = np.linspace(0, 2 * np.pi, 40, endpoint=False), 2 / traits.lens_square
    wide, tall = (np.sign(f(turn)) * np.abs(f(turn)) ** round_ * traits.lens_cm for f in (np.cos, np.sin))
    tubes = []
    for eye, sign, ear in ((eyes[0], 1, marks[16]), (eyes[1], -1, marks[0])):
        x = eye[0] + wide
        tubes.append(_tube(np.stack([x, eye[1] - 0.35 + 0.82 * tall, front - 0.033 * x**2], 1), 0.13, True))
        outer = eye[0] + sign * traits.lens_cm
        hinge = [outer, eye[1] + 0.4, front - 0.033 * outer**2]
        tubes.append(_tube(np.linspace(hinge, [sign * (abs(ear[0]) + 0.35), eye[1] + 0.3, 1.0], 8), 0.11, False))
    x = np.linspace(eyes[1][0] + traits.lens_cm, eyes[0][0] - traits.lens_cm, 8)
    bridge = np.stack([x, eyes[0][1] + 0.15 + 0.25 * np.cos(np.linspace(-1.5, 1.5, 8)), np.full(8, front + 0.02)], 1)
    tubes.append(_tube(bridge, 0.11, False))
    starts = np.cumsum([0, *(len(vertices) for vertices, _ in tubes)])
    faces = np.concatenate([one + start for (_, one), start in zip(tubes, starts, strict=False)])
    return np.concatenate([vertices for vertices, _ in tubes]).astype(np.float32), faces.astype(np.int32)


def _tube(path: np.ndarray, radius: float, closed: bool, sides: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A tube of six sides around a path."""
    along = normalize(np.roll(path, -1, 0) - np.roll(path, 1, 0) if closed else np.gradient(path, axis=0))
    first = normalize(np.cross(along, [0.1, 0.2, 0.97]))
    second = np.cross(along, first)
    angle = (np.arange(sides) / sides * 2 * np.pi)[None, :, None]
    points = path[:, None] + radius * (np.cos(angle) * first[:, None] + np.sin(angle) * second[:, None])
    number = np.arange(len(path) * sides).reshape(-1, sides)
    here, ahead = (number, np.roll(number, -1, 0)) if closed else (number[:-1], number[1:])
    quads = [
        np.stack([here, np.roll(here, -1, 1), ahead], -1),
        np.stack([np.roll(here, -1, 1), np.roll(ahead, -1, 1), ahead], -1),
    ]
    return points.reshape(-1, 3), np.concatenate([quad.reshape(-1, 3) for quad in quads])
