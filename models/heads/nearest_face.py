"""The face of a mesh that is nearest to a point, exactly, for hundreds of thousands of points a second.

Notable choices:
- a hierarchy of boxes over the faces, split once on the mesh at rest; a posed mesh has the same hierarchy with new boxes,
  because faces that are neighbors stay neighbors;
- each point starts from the distance to its predecessor's face, a bound that is nearly tight along a ray, and the search passes
  over whatever is farther than `reach`. Bounds decide what is looked at, never what is found;
- deterministic: distances are float64, and of the faces within 1e-12 m^2 of the least squared distance the first one counts.
  Most points outside of a convex surface are nearest to an edge or a vertex, so ties are the rule;
- on the CPU, compiled, also where the network is on a GPU: five megabytes of points go there and back.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

LEAF = 4
"""Faces in a box at the bottom, at most."""
CHUNK = 8192
"""Points that a thread takes at once."""


class Nearest(NamedTuple):
    """What is nearest to N points."""

    face: Tensor
    """[N] int64, F where no face is within reach."""
    distance: Tensor
    """[N] float64 m, `reach` where there is none."""
    weights: Tensor
    """[N,3] float64 barycentric weights of the nearest point of the face, 0 where there is none."""


class FaceTree:
    """F faces [F,3] of a mesh of V vertices [V,3] at rest, for any pose of it; a `leaf` of F compares every face."""

    def __init__(self, vertices: Tensor, faces: Tensor, leaf: int = LEAF):
        self.faces = faces.cpu().numpy()
        centers = vertices.detach().double().cpu().numpy()[self.faces].mean(1)
        self.depth = max(int(np.ceil(np.log2(max(len(self.faces), 1) / leaf))), 0)
        self.order = _ordered(centers, self.depth)

    def nearest(self, vertices: Tensor, points: Tensor, reach: float = float("inf")) -> Nearest:
        """The faces nearer than `reach` of a posed mesh [V,3] to points [N,3]; without gradients, on the points' device."""
        from models.heads.nearest_face_search import search_faces

        corners = np.ascontiguousarray(vertices.detach().double().cpu().numpy()[self.faces])
        where = points.detach().cpu().numpy()
        face = np.empty(len(where), np.int64)
        distance, weights = np.empty(len(where)), np.empty((len(where), 3))
        boxes, ends = self._boxes(corners), _ends(len(self.faces), self.depth)

        def search(first: int) -> None:
            part = slice(first, first + CHUNK)
            search_faces(where[part], corners, self.order, ends, boxes, reach, face[part], distance[part], weights[part])

        with ThreadPoolExecutor(max(torch.get_num_threads(), 1)) as threads:
            list(threads.map(search, range(0, len(where), CHUNK)))
        device = points.device
        return Nearest(*(torch.from_numpy(one).to(device) for one in (face, distance, weights)))

    def _boxes(self, corners: np.ndarray) -> np.ndarray:
        """[2^(depth+1)-1,6] lower and upper corners: the root, its two halves, ...; children of k are 2k+1 and 2k+2."""
        ends = _ends(len(self.faces), self.depth)[:-1]
        ordered = corners[self.order]
        low, high = np.minimum.reduceat(ordered.min(1), ends), np.maximum.reduceat(ordered.max(1), ends)
        levels = [np.concatenate([low, high], 1)]
        while len(levels[-1]) > 1:
            one, other = levels[-1][0::2], levels[-1][1::2]
            pair = [np.minimum(one[:, :3], other[:, :3]), np.maximum(one[:, 3:], other[:, 3:])]
            levels.append(np.concatenate(pair, 1))
        return np.concatenate(levels[::-1])


def _ends(count: int, depth: int) -> np.ndarray:
    """[2^depth+1] where the faces of each box at the bottom begin, and the end of the last."""
    return np.arange(2**depth + 1) * count // 2**depth


def _ordered(centers: np.ndarray, depth: int) -> np.ndarray:
    """[F] faces so that each box's lie together: halved across the longer side of their centers, again and again."""
    order = np.arange(len(centers))
    for level in range(depth):
        ends = _ends(len(centers), level)
        for first, last in zip(ends[:-1], ends[1:], strict=True):
            part = order[first:last]
            axis = int(np.ptp(centers[part], axis=0).argmax())
            order[first:last] = part[np.argsort(centers[part, axis], kind="stable")]
    return order
