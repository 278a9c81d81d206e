"""Hairs as ribbons that face the camera: what brows, beards, lashes and head hair have in common."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from pipelines.prior.people.numbers import normalize, smooth, spline
from pipelines.prior.people.raster import FAST
from pipelines.prior.people.stock import Stock

BEARD_COUNTS = {"full": 4200, "goatee": 1600, "moustache": 900, "chin": 700}


@dataclass(frozen=True, kw_only=True)
class Strands:
    """N hairs of K points, around the mean head."""

    points: np.ndarray
    """[N,K,3]"""
    bound: np.ndarray
    """[N,K] skin vertices they go with."""
    width: float
    """cm"""
    taper: float
    """Share of the width lost at the tip."""
    tint: np.ndarray
    """[N] log brightness."""
    occlusion: np.ndarray
    """[N]"""
    on_face: bool
    """Moves with the expression."""
    part: np.ndarray | int = 17
    """Class of each hair."""


def scatter_roots(
    points: np.ndarray, faces: np.ndarray, allowed: np.ndarray, count: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [N] and corner weights [N,3] of points spread over triangles, as densely as `allowed` says."""
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) * allowed
    return random.choice(len(faces), count, p=area / area.sum()), random.dirichlet([1, 1, 1], count)


def brows(stock: Stock, thickness: float, density: float, arch: float, random: np.random.Generator) -> Strands:
    from pipelines.prior.people.parts import LEFT_BROW, RIGHT_BROW

    landmarks = stock.model.mean[stock.model.landmarks]
    points, bound, part = [], [], []
    for side, chosen, number in ((-1, [21, 20, 19, 18, 17], RIGHT_BROW), (1, [22, 23, 24, 25, 26], LEFT_BROW)):
        count = int(260 * density * stock.fineness)
        along, across = random.beta(1.0, 1.15, count), random.uniform(-1, 1, count)
        line = spline(landmarks[chosen], 60)[(along * 59).astype(int)]
        half = 0.38 * thickness * np.interp(along, [0, 0.1, 0.35, 0.75, 1], [0.75, 1, 1, 0.6, 0.12])
        line[:, 0] += side * np.interp(along, [0, 1], [0.15, 0.25])
        line[:, 1] += np.interp(along, [0, 0.55, 1], [-0.25, arch, -0.15]) + 0.05 + across * half
        angle = np.radians(np.interp(along, [0, 0.2, 0.6, 1], [75, 45, 12, -22]) - across * 16)
        heading = np.stack([side * np.cos(angle), np.sin(angle), np.zeros(count)], 1)
        hairs, skin = on_skin(stock, line, heading, random.uniform(0.35, 0.65, count), 4, (0.10, 0.12), random)
        points, bound, part = [*points, hairs], [*bound, skin], [*part, np.full(count, number)]
    hairs = np.concatenate(points)
    return _on_face(hairs, np.concatenate(bound), 0.075, 0.7, 0.8, np.concatenate(part), stock, random)


def beard(stock: Stock, kind: str, length: float, random: np.random.Generator) -> Strands:
    faces = stock.model.faces[stock.model.part_triangles["face"]]
    triangle, weights = scatter_roots(
        stock.model.mean,
        faces,
        _beard_place(kind, stock.model.mean[faces].mean(1)),
        round(BEARD_COUNTS[kind] * stock.fineness),
        random,
    )
    roots = (stock.model.mean[faces[triangle]] * weights[..., None]).sum(1)
    count, y = len(roots), roots[:, 1]
    heading = np.stack([np.sign(roots[:, 0]) * np.where(y > -3, 0.9, 0.15), -np.ones(count), np.full(count, 0.15)], 1)
    lengths = length * random.uniform(0.6, 1.1, count) * np.where(y > -3.05, min(1, 0.75 / length + 0.25), 1)
    hairs, skin = on_skin(stock, roots, heading, lengths, 5, (0.22, 0.25), random)
    return _on_face(hairs, skin, 0.085, 0.6, 0.75, 1, stock, random)


def _beard_place(kind: str, center: np.ndarray) -> np.ndarray:
    """How densely a beard grows on triangles with these centers, 0..1."""
    x, y, z = np.abs(center[:, 0]), center[:, 1], center[:, 2]
    lips = (y < -2.75) & (y > -4.45) & (x < 2.75) & (z > 9)
    jaw = smooth(-2.0, -3.3, y - 0.22 * x) * smooth(1.0, 4.5, z) * smooth(-9.6, -8.6, y)
    moustache = (y < -1.55) & (y > -3.0) & (x < 3.0) & (z > 9.3)
    corners = (x > 2.2) & (x < 3.2) & (y < -2) & (y > -6) & (z > 8)
    chin = ((x < 2.7) & (y < -4.4) & (z > 7)) * jaw
    places = {
        "full": np.maximum(jaw, moustache), "goatee": np.maximum(chin, moustache | corners),
        "moustache": moustache.astype(float), "chin": ((x < 2.0) & (y < -5.2) & (z > 8)) * jaw,
    }  # fmt: skip
    return places[kind] * ~lips


def on_skin(stock, roots, heading, lengths, count, shape, random):  # type: ignore[no-untyped-def]
    """Short hairs [N,count,3] that lie on the skin, and their vertices; shape = (lift, jitter)."""
    nearest = stock.tree.query(roots)[1]
    normals = stock.normals[nearest]
    base = roots - normals * ((roots - stock.model.mean[nearest]) * normals).sum(1, keepdims=True) * 0.8
    along = normalize(
        heading - (heading * normals).sum(1, keepdims=True) * normals + shape[1] * random.standard_normal(roots.shape)
    )
    shares = [step / (count - 1) for step in range(count)]
    points = [
        base + along * (lengths * s)[:, None] + normals * (0.02 + shape[0] * lengths * np.sin(2.2 * s))[:, None] for s in shares
    ]
    return np.stack(points, 1).astype(np.float32), np.repeat(nearest[:, None], count, 1)


def _on_face(points, bound, width, taper, occlusion, part, stock, random) -> Strands:  # type: ignore[no-untyped-def]
    count = len(points)
    return Strands(
        points=points, bound=bound, width=width * stock.fineness**-0.5, taper=taper, tint=random.normal(0, 0.15, count),
        on_face=True, occlusion=np.full(count, occlusion, np.float32), part=part,
    )  # fmt: skip


@njit(**FAST)
def ribbons(points, width, taper, eye, least, corners, tangents, share) -> None:  # type: ignore[no-untyped-def]
    """Two corners a point, across the view; `least` (cm per cm of distance) keeps ribbons from falling between samples."""
    count = points.shape[1]
    for n in range(points.shape[0]):
        for k in range(count):
            a, b = min(k + 1, count - 1), max(k - 1, 0)
            tx, ty, tz = points[n, a, 0] - points[n, b, 0], points[n, a, 1] - points[n, b, 1], points[n, a, 2] - points[n, b, 2]
            norm = 1 / math.sqrt(tx * tx + ty * ty + tz * tz + 1e-12)
            tx, ty, tz = tx * norm, ty * norm, tz * norm
            vx, vy, vz = eye[0] - points[n, k, 0], eye[1] - points[n, k, 1], eye[2] - points[n, k, 2]
            sx, sy, sz = ty * vz - tz * vy, tz * vx - tx * vz, tx * vy - ty * vx
            s = k / (count - 1)
            half = 0.5 * max(width[n] * (1 - taper * s * s), least * math.sqrt(vx * vx + vy * vy + vz * vz))
            f = half / (math.sqrt(sx * sx + sy * sy + sz * sz) + 1e-9)
            j = (n * count + k) * 2
            for side in range(2):
                g = f if side else -f
                corners[j + side, 0] = points[n, k, 0] + g * sx
                corners[j + side, 1] = points[n, k, 1] + g * sy
                corners[j + side, 2] = points[n, k, 2] + g * sz
                tangents[j + side, 0], tangents[j + side, 1], tangents[j + side, 2] = tx, ty, tz
                share[j + side] = s


def ribbon_faces(hairs: int, count: int) -> np.ndarray:
    """[2 N (K-1), 3] triangles over the corners of `ribbons`; two neighbors belong to one piece of one hair."""
    first = ((np.arange(hairs) * count)[:, None] + np.arange(count - 1)[None]).ravel() * 2
    pairs = np.stack([np.stack([first, first + 1, first + 2], 1), np.stack([first + 1, first + 3, first + 2], 1)], 1)
    return pairs.reshape(-1, 3).astype(np.int32)
