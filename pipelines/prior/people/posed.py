"""A person in a pose, as triangles in head space.

Everything lies in the head's own frame (centimeters of the face model): the head never moves, the chest turns below it.
Lids close fully: the blink shape is driven a little past 1 and the eyeball carries no cornea that would pierce the lid.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.face.ict import UNIT_CM, FaceModel, to_head_units
from pipelines.prior.people import body, parts
from pipelines.prior.people.expressions import with_gaze
from pipelines.prior.people.person import Hairs, Person
from pipelines.prior.people.raster import vertex_normals
from pipelines.prior.people.stock import EYES, Lash
from pipelines.prior.people.strands import Strands, ribbon_faces, ribbons
from pipelines.prior.people.surfaces import Look, Surface, concatenate_surfaces, plain_surface
from pipelines.prior.people.wardrobe import shade_under_chin

IRIS_RADIANS = 0.43
CONVERGENCE_DEG = 1.2
SMALLEST_RIBBON = 0.9
"""Of a sample's width."""
LASH_COLOR = (0.012, 0.010, 0.009)


@dataclass(frozen=True)
class Pose:
    """One state of a person."""

    expression: np.ndarray
    """[E] weights without gaze shapes."""
    gaze: tuple[float, float] = (0.0, 0.0)
    """Degrees to the person's left, and up."""
    posture: body.Posture = body.Posture()


class Posed:
    """A person in a pose, ready to be seen from anywhere."""

    def __init__(self, person: Person, pose: Pose) -> None:
        self.person, model = person, person.stock.model
        self.expression = with_gaze(pose.expression, pose.gaze, model)
        offsets = model.offsets(_driven(self.expression, model))
        chest_from_rest = body.transforms(pose.posture, person.joints)
        self.joint_transforms = np.linalg.inv(chest_from_rest[body.HEAD]) @ chest_from_rest
        """[7,4,4] rest to head frame, cm."""
        points = person.neutral + offsets
        self.gaze = np.stack([self._turned_eye(points, index, pose.gaze) for index in range(2)]).astype(np.float32)
        self.blink = [float(self.expression[model.index(f"eyeBlink_{side}")]) for side in "LR"]
        self.points = body.skin_points(points, person.weights, self.joint_transforms)
        self.strands = [self._follow(hairs, offsets) for hairs in person.hairs]
        self.lashes = [_between(self.points[lash.vertices], place) for lash, place in person.lash_places]

    @property
    def landmarks(self) -> np.ndarray:
        """[68,3] in head units."""
        return to_head_units(self.points[self.person.stock.model.landmarks])

    @property
    def unit_transforms(self) -> np.ndarray:
        """[7,4,4] of rest positions in head units to posed ones."""
        out = self.joint_transforms.copy()
        fixed = to_head_units(np.zeros(3))  # where the face model's own origin lies
        out[:, :3, 3] = out[:, :3, 3] / UNIT_CM + fixed - out[:, :3, :3] @ fixed
        return out

    def look(self) -> Look:
        person, traits = self.person, self.person.traits
        iris = np.array([IRIS_RADIANS, traits.pupil, *traits.iris], np.float32)
        return Look(
            person.face, person.scalp, person.eyes.astype(np.float32), self.gaze, iris, traits.cloth.astype(np.float32),
            person.stock.grain, float(0.6 + 0.9 * traits.age),
        )  # fmt: skip

    def surface(self, eye: np.ndarray, sample_width: float) -> Surface:
        """All triangles seen from `eye` (cm), where a sample is `sample_width` cm wide at 1 cm."""
        pieces = [self._body(), self._shirt()]
        if self.person.glasses:
            pieces.append(self._glasses(*self.person.glasses))
        least = SMALLEST_RIBBON * sample_width
        for hairs, points in zip(self.person.hairs, self.strands, strict=True):
            pieces.append(_ribbons(points, hairs.width, hairs.color, hairs.strands, eye, least))
        for (lash, _), points in zip(self.person.lash_places, self.lashes, strict=True):
            pieces.append(self._lash(lash, points, eye, least))
        return concatenate_surfaces([piece for piece in pieces if len(piece.faces)])

    def _turned_eye(self, points: np.ndarray, index: int, gaze: tuple[float, float]) -> np.ndarray:
        """Rotates an eyeball, in place; returns its direction."""
        part, center = self.person.stock.model.part_vertices[EYES[index]], self.person.eyes[index]
        yaw, pitch = np.radians(gaze[0] + (-CONVERGENCE_DEG if index == 0 else CONVERGENCE_DEG)), np.radians(gaze[1])
        left = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        turn = left @ np.array([[1, 0, 0], [0, np.cos(pitch), np.sin(pitch)], [0, -np.sin(pitch), np.cos(pitch)]])
        points[part] = (self.person.neutral[part] - center) @ turn.T + center
        return turn[:, 2]

    def _follow(self, hairs: Hairs, offsets: np.ndarray) -> np.ndarray:
        rest = hairs.points + offsets[hairs.strands.bound] if hairs.strands.on_face else hairs.points
        return body.skin_points(rest.reshape(-1, 3), hairs.weights, self.joint_transforms).reshape(rest.shape)

    def _body(self) -> Surface:
        stock = self.person.stock
        vertex = stock.vertex
        normals = vertex_normals(self.points, stock.mesh_faces)
        occlusion = stock.occlusion[vertex].copy()
        for name, blink in zip(EYES, self.blink, strict=True):
            part = stock.model.part_vertices[name]
            occlusion[(vertex >= part.start) & (vertex < part.stop)] *= 1 - 0.85 * blink**3
        edge = np.full(len(vertex), -1, np.float32)
        skin = vertex < stock.skin_count
        edge[skin] = self.person.shirt.edge[vertex[skin]]
        cloth = edge > 0  # where skin is drawn as cloth it is as dark as the shirt over it
        occlusion[cloth] = shade_under_chin(stock.model.mean[vertex[cloth]])
        return Surface(
            self.points[vertex], normals[vertex], stock.uv, occlusion, stock.model.mean[vertex], edge, stock.faces,
            stock.material, self.person.part,
        )  # fmt: skip

    def _shirt(self) -> Surface:
        cloth = self.person.shirt
        points = body.skin_points(cloth.points, self.person.shirt_weights, self.joint_transforms)
        shade = shade_under_chin(cloth.rest)
        return plain_surface(
            points, vertex_normals(points, cloth.faces), cloth.faces, cloth.rest, shade, parts.CLOTH, parts.CLOTH_PART
        )

    def _glasses(self, points: np.ndarray, faces: np.ndarray) -> Surface:
        color = np.tile(self.person.traits.frame, (len(points), 1))
        return plain_surface(
            points, vertex_normals(points, faces), faces, color, np.ones(len(points)), parts.FRAME, parts.GLASSES_PART
        )

    def _lash(self, lash: Lash, points: np.ndarray, eye: np.ndarray, least: float) -> Surface:
        width = 0.018 if lash.lower else 0.05 if self.person.traits.makeup else 0.038
        count = len(points)
        strands = Strands(
            points=points, bound=np.zeros(0), width=width, taper=0.85, tint=np.zeros(count), on_face=True, part=lash.part,
            occlusion=np.full(count, 0.8, np.float32),
        )  # fmt: skip
        color = np.tile(np.array(LASH_COLOR, np.float32), (count, 1))
        return _ribbons(points, np.full(count, width, np.float32), color, strands, eye, least, share=0.3)


def _driven(weights: np.ndarray, model: FaceModel) -> np.ndarray:
    """Weights as the mesh needs them: lids driven past 1 so that they meet, lips kept closed while the jaw is."""
    out = weights.copy()
    for name in ("eyeBlink_L", "eyeBlink_R"):
        closed = out[model.index(name)]
        out[model.index(name)] = closed * (1.05 + 0.09 * max(0.0, (closed - 0.75) / 0.25))
    out[model.index("mouthClose")] += 0.028 * max(0.0, 1 - 8 * out[model.index("jawOpen")])
    return out


def _between(cards: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Hairs [N,4,3] at places 0..18 between the 19 of a lash card."""
    index = np.minimum(places.astype(int), 17)
    share = (places - index)[:, None, None]
    return (cards[index] * (1 - share) + cards[index + 1] * share).astype(np.float32)


def _ribbons(
    points: np.ndarray,
    width: np.ndarray,
    color: np.ndarray,
    strands: Strands,
    eye: np.ndarray,
    least: float,
    share: float = 0.15,
) -> Surface:
    """Ribbons toward the eye; of hairs thinner than a sample only as many are drawn as make up for their greater width."""
    hairs, count = points.shape[:2]
    occlusion, part = strands.occlusion, np.broadcast_to(np.asarray(strands.part), (hairs,))
    if strands.width < 0.10:
        distance = float(np.linalg.norm(points[:, 0].mean(0) - eye))
        hairs = max(1, round(hairs * float(np.clip(width.mean() / (least * distance), share, 1))))
        order = np.random.default_rng(9).permutation(len(points))[:hairs]
        points, width, color, occlusion, part = points[order], width[order], color[order], occlusion[order], part[order]
    corners, tangents = (np.empty((hairs * count * 2, 3), np.float32) for _ in range(2))
    along = np.empty(hairs * count * 2, np.float32)
    ribbons(np.ascontiguousarray(points), width, strands.taper, eye.astype(np.float32), least, corners, tangents, along)
    faces = ribbon_faces(hairs, count)
    along = along if not strands.on_face else np.ones_like(along)
    return Surface(
        corners, tangents, np.stack([along, along], 1), np.repeat(occlusion, count * 2), np.repeat(color, count * 2, 0),
        np.full(len(corners), -1, np.float32), faces, np.full(len(faces), parts.HAIR, np.int32),
        np.repeat(part, (count - 1) * 2).astype(np.int32),
    )  # fmt: skip
