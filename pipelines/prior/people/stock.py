"""What all people share, made once a process: the drawn mesh with seams, parts, ambient occlusion, maps, lashes, torso loop."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import KDTree

from pipelines.face.ict import FaceModel
from pipelines.prior.people import parts
from pipelines.prior.people.raster import light_view, rasterize_depth, vertex_normals
from pipelines.prior.people.regions import SkinMap, landmark_uv, scalp_distance, skin_map

DRAWN = {
    "face": parts.SKIN, "head_neck": parts.SCALP, "mouth_socket": parts.MOUTH, "eye_socket_L": parts.MOUTH,
    "eye_socket_R": parts.MOUTH, "gums_tongue": parts.GUM, "teeth": parts.TEETH, "sclera_L": parts.EYE, "sclera_R": parts.EYE,
}  # fmt: skip
"""Parts of the model that are drawn, and their material; irises are painted on the sclera."""
EYES = ("sclera_L", "sclera_R")
NOSE_OUTLINE = np.array([[0, 4.0], [0.7, 3.4], [1.0, 1.6], [1.7, 0.3], [2.05, -0.5], [1.8, -1.2], [0.8, -1.6], [0, -1.7]])
"""Half of the nose seen from the front, cm on the mean head."""
OCCLUSION_VIEWS, OCCLUSION_SIZE = 96, 160


@dataclass(frozen=True)
class Lash:
    """One of the model's lash cards: [19,4] vertices of 19 hairs from the lid outward."""

    vertices: np.ndarray
    lower: bool
    part: int


class Stock:
    """The mean head prepared for drawing at `size` pixels."""

    def __init__(self, model: FaceModel, size: int) -> None:
        self.model, self.size = model, size
        texture = 512 if size >= 256 else 256
        triangles = model.triangles(*DRAWN)
        self.mesh_faces = model.faces[triangles]
        """[F,3] over the model's vertices."""
        keys = self.mesh_faces.astype(np.int64) * 100_000 + model.faces_uv[triangles]
        corners, inverse = np.unique(keys, return_inverse=True)
        self.faces = inverse.reshape(-1, 3).astype(np.int32)
        """[F,3] over the drawn vertices: a vertex for each pair of position and texture coordinate."""
        self.vertex = corners // 100_000
        """[D] the model's vertex of each drawn one."""
        self.uv = model.uv[corners % 100_000].astype(np.float32)
        counts = [len(model.triangles(part)) for part in DRAWN]
        self.material = np.repeat(list(DRAWN.values()), counts).astype(np.int32)
        self.material[_tongue(model, triangles)] = parts.TONGUE
        self.part = _parts(model, triangles, self.material)
        center = model.mean[self.mesh_faces].mean(1)
        skin = np.isin(self.part, (parts.SKIN_PART, parts.NECK))
        self.rooted = np.where(skin & (scalp_distance(center) > 0.3) & (center[:, 1] > -6), center[:, 1], np.inf)
        """[F] height of triangles that hair grows on, infinite elsewhere."""
        self.normals = vertex_normals(model.mean, model.faces)
        self.skin_count = model.part_vertices["head_neck"].stop
        skin = model.mean[: self.skin_count]
        self.tree = KDTree(skin)
        ears = (np.abs(skin[:, 0]) > 7.45) & (skin[:, 1] > -3) & (skin[:, 1] < 6)
        self.no_ears = np.flatnonzero(~ears)
        self.tree_no_ears = KDTree(skin[self.no_ears])
        self.scalp = scalp_distance(skin)
        self.occlusion = _occlusion(model, self.normals, self.skin_count)
        self.maps: dict[str, SkinMap] = {
            "face": skin_map(model, "face", texture, 0.0), "head_neck": skin_map(model, "head_neck", texture // 2, 1.0)
        }  # fmt: skip
        self.eyes = [_sphere(model.mean[model.part_vertices[name]]) for name in EYES]
        """Center [3] and radius of the eyeballs."""
        self.lashes = _lashes(model, self.tree)
        self.grain = np.random.default_rng(5).random((64, 64, 64)).astype(np.float32)

    @property
    def fineness(self) -> float:
        """How many more and finer hairs than at 128 pixels: 1 there, 1.74 at 256, at most 2.2."""
        return float(np.clip((self.size / 128) ** 0.8, 1.0, 2.2))

    @cached_property
    def neck_loop(self) -> np.ndarray:
        """Vertices of the open lower edge of the neck, in order."""
        faces = self.model.faces[: self.model.part_triangles["head_neck"].stop]
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        _, index, count = np.unique(np.sort(edges, 1), axis=0, return_index=True, return_counts=True)
        edges = edges[index[count == 1]]
        edges = edges[(self.model.mean[edges, 1] < -10).all(1)]
        following = dict(zip(edges[:, 0].tolist(), edges[:, 1].tolist(), strict=True))
        loop = [int(edges[0, 0])]
        while following[loop[-1]] != loop[0]:
            loop.append(following[loop[-1]])
        return np.array(loop)


def _sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Center and radius of the sphere through the back half of an eyeball (least squares)."""
    back = points[points[:, 2] < np.median(points[:, 2])].astype(float)
    solution = np.linalg.lstsq(np.c_[2 * back, np.ones(len(back))], (back**2).sum(1), rcond=None)[0]
    return solution[:3], float(np.sqrt(solution[3] + solution[:3] @ solution[:3]))


def _tongue(model: FaceModel, triangles: np.ndarray) -> np.ndarray:
    """Which drawn triangles are the tongue: those of the gums' mesh inside the arch of the lower teeth."""
    gums = np.isin(triangles, model.triangles("gums_tongue"))
    x, y, z = model.mean[model.faces[triangles]].mean(1).T
    return gums & ((x / 2.3) ** 2 + ((z - 5) / 4.4) ** 2 < 1) & (y < -2.6)


def _parts(model: FaceModel, triangles: np.ndarray, material: np.ndarray) -> np.ndarray:
    """The class of each drawn triangle on the mean head; cloth is decided when drawn."""
    center = model.mean[model.faces[triangles]].mean(1)
    x, y, z = center[:, 0], center[:, 1], center[:, 2]
    part = np.full(len(triangles), parts.MOUTH_PART)
    skin = (material == parts.SKIN) | (material == parts.SCALP)
    part[skin] = parts.SKIN_PART
    part[skin & (y < -5.0 - 0.41 * np.maximum(z, 0))] = parts.NECK
    part[skin & (np.interp(y, NOSE_OUTLINE[::-1, 1], NOSE_OUTLINE[::-1, 0], left=0, right=0) > np.abs(x)) & (z > 8.5)] = (
        parts.NOSE
    )
    ear = skin & _ears(center)
    lips = skin & _inside_lips(model, triangles)
    middle = model.mean[model.landmarks[60:68]]
    seam = np.interp(np.abs(x), *_sorted(np.abs(middle[:, 0]), middle[:, 1]))
    eye = (material == parts.EYE) | np.isin(triangles, model.triangles("eye_socket_L", "eye_socket_R"))
    for mask, left, right in (
        (ear, parts.LEFT_EAR, parts.RIGHT_EAR), (eye, parts.LEFT_EYE, parts.RIGHT_EYE),
    ):  # fmt: skip
        part[mask & (x > 0)], part[mask & (x <= 0)] = left, right
    part[lips & (y >= seam)], part[lips & (y < seam)] = parts.UPPER_LIP, parts.LOWER_LIP
    return part.astype(np.int32)


def _ears(center: np.ndarray) -> np.ndarray:
    """Which points belong to an ear: those within the outline, seen from the side, of what stands off the side of the head.

    The side is |x| = a polynomial of second degree in y and z, fitted while points that stand off are left out.
    """
    import cv2

    x, y, z = np.abs(center[:, 0]), center[:, 1], center[:, 2]
    near = np.flatnonzero((x > 5.5) & (y > -6) & (y < 9) & (z > -7) & (z < 6))
    terms = np.stack([np.ones(len(near)), y[near], z[near], y[near] ** 2, z[near] ** 2, y[near] * z[near]], 1)
    fitted = np.ones(len(near), bool)
    off = np.zeros(len(near))
    for _ in range(8):
        off = x[near] - terms @ np.linalg.lstsq(terms[fitted], x[near][fitted], rcond=None)[0]
        fitted = np.abs(off) < 0.5
    ear = near[(off > 0.6) & (y[near] > -4.5) & (y[near] < 6) & (z[near] < 3)]
    outline = cv2.convexHull(np.stack([y[ear], z[ear]], 1).astype(np.float32))
    inside = [cv2.pointPolygonTest(outline, (float(a), float(b)), False) >= 0 for a, b in zip(y, z, strict=True)]
    return np.array(inside) & (x > 5.5)


def _sorted(keys: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys)
    return keys[order], values[order]


def _inside_lips(model: FaceModel, triangles: np.ndarray) -> np.ndarray:
    import cv2

    outline = landmark_uv(model)[48:60].astype(np.float32)
    centers = model.uv[model.faces_uv[triangles]].mean(1)
    return np.array([cv2.pointPolygonTest(outline, (float(u), float(v)), False) > 0 for u, v in centers])


def _occlusion(model: FaceModel, normals: np.ndarray, count: int) -> np.ndarray:
    """[V] share of the sky over each vertex that the head leaves free, near occluders counting most.

    Views from directions d spread over the sphere: 1 - sum max(0, n d) [hidden] exp(-distance / 8 cm) / sum max(0, n d).
    """
    faces = model.faces[model.triangles("face", "head_neck", *EYES)]
    index = np.arange(OCCLUSION_VIEWS) + 0.5
    height, turn = 1 - 2 * index / OCCLUSION_VIEWS, index * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - height**2)
    total, hidden = np.full(count, 1e-6), np.zeros(count)
    for direction in np.stack([ring * np.cos(turn), height, ring * np.sin(turn)], 1):
        seen = model.mean @ light_view(direction).T
        low = seen.min(0) - 1
        scale = OCCLUSION_SIZE / float((seen.max(0) + 1 - low)[:2].max())
        x, y = ((seen[:, axis] - low[axis]) * scale for axis in (0, 1))
        nearest = np.full((OCCLUSION_SIZE, OCCLUSION_SIZE), 1e9, np.float32)
        rasterize_depth(np.ascontiguousarray(x), np.ascontiguousarray(y), np.ascontiguousarray(seen[:, 2]), faces, nearest)
        behind = seen[:count, 2] - nearest[y[:count].astype(int), x[:count].astype(int)]
        cosine = np.maximum(normals[:count] @ direction, 0)
        total += cosine
        hidden += cosine * np.where(behind > 0.35, np.exp(-np.maximum(behind, 0) / 8), 0)
    out = np.ones(len(model.mean), np.float32)
    out[:count] = 1 - hidden / total
    return out


def _lashes(model: FaceModel, skin: KDTree) -> list[Lash]:
    """The lash cards: six strips a side, 19 hairs of 6 vertices each, ordered by their texture coordinates."""
    found = []
    for side, part in (("lashes_L", parts.LEFT_EYE), ("lashes_R", parts.RIGHT_EYE)):
        triangles = model.part_triangles[side]
        coordinate, index = np.unique(model.faces_uv[triangles].ravel(), return_index=True)
        vertex, uv = model.faces[triangles].ravel()[index], model.uv[coordinate]
        strip = np.digitize(uv[:, 1], [0.167, 0.333, 0.5, 0.667, 0.833])
        for number in range(6):
            mine = strip == number
            order = np.lexsort((uv[mine, 1], np.round(uv[mine, 0], 4)))
            card = vertex[mine][order].reshape(19, 6)
            near, far = (skin.query(model.mean[card[:, end]])[0].mean() for end in (0, 5))
            found.append(Lash((card if near < far else card[:, ::-1])[:, :4], number < 3, part))
    return found
