"""Triangles into a depth buffer, on one CPU thread: perspective-correct barycentric weights, no clipping, no GPU.

A triangle with a corner behind the camera is left out. All is compiled by numba and gives the same bits on every run.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit

FAST: dict[str, Any] = {"fastmath": True, "cache": True, "error_model": "numpy", "boundscheck": False}


class Hits(NamedTuple):
    """What the ray of each sample hits, [H,W] each."""

    nearest: np.ndarray
    """1/z, 0 for nothing."""
    triangle: np.ndarray
    """Its number, -1 for none."""
    first: np.ndarray
    second: np.ndarray
    """Weights of its first two corners."""


def no_hits(height: int, width: int) -> Hits:
    nearest, first, second = (np.zeros((height, width), np.float32) for _ in range(3))
    return Hits(nearest, np.full((height, width), -1, np.int32), first, second)


@njit(**FAST)
def _box(low: float, high: float, size: int) -> tuple[int, int]:
    """First and last pixel whose centers lie between low and high."""
    return max(0, int(math.ceil(low - 0.5))), min(size - 1, int(math.floor(high - 0.5)))


@njit(**FAST)
def rasterize(x, y, inverse_depth, faces, hits) -> None:  # type: ignore[no-untyped-def]
    """Fill `hits` with what is nearer than what is there."""
    nearest, triangle, first, second = hits
    height, width = nearest.shape
    for t in range(faces.shape[0]):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        zi, zj, zk = inverse_depth[i], inverse_depth[j], inverse_depth[k]
        if zi <= 0 or zj <= 0 or zk <= 0:
            continue
        area = (x[j] - x[i]) * (y[k] - y[i]) - (x[k] - x[i]) * (y[j] - y[i])
        if area == 0.0:
            continue
        left, right = _box(min(x[i], x[j], x[k]), max(x[i], x[j], x[k]), width)
        top, bottom = _box(min(y[i], y[j], y[k]), max(y[i], y[j], y[k]), height)
        for row in range(top, bottom + 1):
            v = row + 0.5
            for column in range(left, right + 1):
                u = column + 0.5
                a = ((x[j] - u) * (y[k] - v) - (x[k] - u) * (y[j] - v)) / area
                b = ((x[k] - u) * (y[i] - v) - (x[i] - u) * (y[k] - v)) / area
                c = 1.0 - a - b
                if a < 0 or b < 0 or c < 0:
                    continue
                z = a * zi + b * zj + c * zk
                if z > nearest[row, column]:
                    nearest[row, column] = z
                    triangle[row, column] = t
                    first[row, column] = a * zi / z
                    second[row, column] = b * zj / z


@njit(**FAST)
def rasterize_depth(x, y, depth, faces, nearest) -> None:  # type: ignore[no-untyped-def]
    """The smallest depth of parallel rays in nearest [H,W]; for shadows and occlusion."""
    height, width = nearest.shape
    for t in range(faces.shape[0]):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        area = (x[j] - x[i]) * (y[k] - y[i]) - (x[k] - x[i]) * (y[j] - y[i])
        if area == 0.0:
            continue
        left, right = _box(min(x[i], x[j], x[k]), max(x[i], x[j], x[k]), width)
        top, bottom = _box(min(y[i], y[j], y[k]), max(y[i], y[j], y[k]), height)
        for row in range(top, bottom + 1):
            v = row + 0.5
            for column in range(left, right + 1):
                u = column + 0.5
                a = ((x[j] - u) * (y[k] - v) - (x[k] - u) * (y[j] - v)) / area
                b = ((x[k] - u) * (y[i] - v) - (x[i] - u) * (y[k] - v)) / area
                c = 1.0 - a - b
                if a < 0 or b < 0 or c < 0:
                    continue
                z = a * depth[i] + b * depth[j] + c * depth[k]
                nearest[row, column] = min(nearest[row, column], z)


@njit(**FAST)
def vertex_normals(points, faces):  # type: ignore[no-untyped-def]
    """[V,3] unit normals: the sum of the triangles' area vectors around each vertex."""
    out = np.zeros((points.shape[0], 3), np.float32)
    for t in range(faces.shape[0]):
        i, j, k = faces[t, 0], faces[t, 1], faces[t, 2]
        ax, ay, az = points[j, 0] - points[i, 0], points[j, 1] - points[i, 1], points[j, 2] - points[i, 2]
        bx, by, bz = points[k, 0] - points[i, 0], points[k, 1] - points[i, 1], points[k, 2] - points[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for corner in (i, j, k):
            out[corner, 0] += nx
            out[corner, 1] += ny
            out[corner, 2] += nz
    for v in range(out.shape[0]):
        length = math.sqrt(out[v, 0] ** 2 + out[v, 1] ** 2 + out[v, 2] ** 2) + 1e-12
        for axis in range(3):
            out[v, axis] /= length
    return out


def light_view(direction: np.ndarray) -> np.ndarray:
    """[3,3] axes of the view along a light that comes from `direction`: right, down, away from the light."""
    away = -direction
    right = np.cross(away, [0.01, 1.0, 0.02])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(away, right), away]).astype(np.float32)
