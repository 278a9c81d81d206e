"""The compiled search of models.heads.nearest_face; a module of its own, because importing it needs numba."""

from typing import Any

import numpy as np
from numba import njit

TIE = 1e-12
"""Squared distances, m^2, that differ by less are the same."""
EXACT: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "boundscheck": False}


@njit(**EXACT)
def _closest(p, corners, face):  # type: ignore[no-untyped-def]
    """Squared distance of p to a face q, r, s, and the weights of r and s in the nearest point (Ericson 2004, 5.1.5)."""
    q0, q1, q2 = corners[face, 0, 0], corners[face, 0, 1], corners[face, 0, 2]
    ab0, ab1, ab2 = corners[face, 1, 0] - q0, corners[face, 1, 1] - q1, corners[face, 1, 2] - q2
    ac0, ac1, ac2 = corners[face, 2, 0] - q0, corners[face, 2, 1] - q1, corners[face, 2, 2] - q2
    ap0, ap1, ap2 = p[0] - q0, p[1] - q1, p[2] - q2
    d1, d2 = ab0 * ap0 + ab1 * ap1 + ab2 * ap2, ac0 * ap0 + ac1 * ap1 + ac2 * ap2
    bb, bc, cc = ab0 * ab0 + ab1 * ab1 + ab2 * ab2, ab0 * ac0 + ab1 * ac1 + ab2 * ac2, ac0 * ac0 + ac1 * ac1 + ac2 * ac2
    d3, d4, d5, d6 = d1 - bb, d2 - bc, d1 - bc, d2 - cc
    va, vb, vc = d3 * d6 - d5 * d4, d5 * d2 - d1 * d6, d1 * d4 - d3 * d2
    v, w = 0.0, 0.0
    if d1 <= 0 and d2 <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        v = 1.0
    elif d6 >= 0 and d5 <= d6:
        w = 1.0
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        v = d1 / (d1 - d3)
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        w = d2 / (d2 - d6)
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        w = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        v = 1.0 - w
    else:
        total = 1.0 / (va + vb + vc)
        v, w = vb * total, vc * total
    e0, e1, e2 = ap0 - v * ab0 - w * ac0, ap1 - v * ab1 - w * ac1, ap2 - v * ab2 - w * ac2
    return e0 * e0 + e1 * e1 + e2 * e2, v, w


@njit(**EXACT)
def _box_distance(p, boxes, node):  # type: ignore[no-untyped-def]
    """Squared distance of p to a box."""
    x = max(boxes[node, 0] - p[0], p[0] - boxes[node, 3], 0.0)
    y = max(boxes[node, 1] - p[1], p[1] - boxes[node, 4], 0.0)
    z = max(boxes[node, 2] - p[2], p[2] - boxes[node, 5], 0.0)
    return x * x + y * y + z * z


@njit(**EXACT)
def _descend(p, corners, order, ends, boxes, bound, stack, gaps, tied, squares):  # type: ignore[no-untyped-def]
    """The least squared distance below `bound`, and how many faces in `tied` were within TIE of it when they were met.

    `stack` and `gaps` hold the boxes that are still to be looked into, the nearest last, and their squared distances.
    """
    leaves, last, count = ends.shape[0] - 1, 1, 0
    stack[0], gaps[0] = 0, _box_distance(p, boxes, 0)
    while last > 0:
        last -= 1
        node = stack[last]
        if gaps[last] > bound + TIE:
            continue
        if node < leaves - 1:
            far, near = 2 * node + 1, 2 * node + 2
            far_gap, near_gap = _box_distance(p, boxes, far), _box_distance(p, boxes, near)
            if far_gap < near_gap:
                far, near, far_gap, near_gap = near, far, near_gap, far_gap
            if far_gap <= bound + TIE:
                stack[last], gaps[last] = far, far_gap
                last += 1
            if near_gap <= bound + TIE:
                stack[last], gaps[last] = near, near_gap
                last += 1
            continue
        for place in range(ends[node - leaves + 1], ends[node - leaves + 2]):
            face = order[place]
            square = _closest(p, corners, face)[0]
            if square > bound + TIE:
                continue
            count = 0 if square < bound - TIE else count
            bound = min(bound, square)
            tied[count], squares[count] = face, square
            count += 1
    return bound, count


@njit(**EXACT)
def search_faces(points, corners, order, ends, boxes, reach, faces, distances, weights):  # type: ignore[no-untyped-def]
    """Fill faces, distances [N] and weights [N,3] for points [N,3]; the other arguments are a FaceTree's."""
    none = corners.shape[0]
    stack, gaps, p, face = np.empty(128, np.int64), np.empty(128), np.empty(3), none
    tied, squares = np.empty(none, np.int64), np.empty(none)
    for n in range(points.shape[0]):
        p[0], p[1], p[2] = points[n, 0], points[n, 1], points[n, 2]
        bound, limit = reach * reach, reach * reach
        if face < none:
            bound = min(bound, _closest(p, corners, face)[0])
        least, count = _descend(p, corners, order, ends, boxes, bound, stack, gaps, tied, squares)
        face = none
        for k in range(count):
            if squares[k] <= least + TIE and tied[k] < face:
                face = tied[k]
        if least >= limit or face == none:
            faces[n], distances[n], face = none, reach, none
            weights[n, 0], weights[n, 1], weights[n, 2] = 0.0, 0.0, 0.0
            continue
        square, v, w = _closest(p, corners, face)
        faces[n], distances[n] = face, np.sqrt(square)
        weights[n, 0], weights[n, 1], weights[n, 2] = 1.0 - v - w, v, w
