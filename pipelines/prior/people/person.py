"""A person made of traits: shape, skin, hair and clothes at rest, in centimeters of the face model."""

from dataclasses import dataclass, replace

import numpy as np

from pipelines.prior.people import body, hair, parts
from pipelines.prior.people.numbers import limit_color
from pipelines.prior.people.raster import vertex_normals
from pipelines.prior.people.skin import paint_skin
from pipelines.prior.people.stock import EYES, Stock
from pipelines.prior.people.strands import Strands, beard, brows
from pipelines.prior.people.traits import Traits
from pipelines.prior.people.wardrobe import Shirt, glasses, shirt


@dataclass(frozen=True, kw_only=True)
class Hairs:
    """Strands fitted to a person: rest points [N,K,3], skinning weights [N*K,7], colors [N,3]."""

    strands: Strands
    points: np.ndarray
    weights: np.ndarray
    width: np.ndarray
    color: np.ndarray


class Person:
    def __init__(self, stock: Stock, traits: Traits) -> None:
        self.stock, self.traits = stock, traits
        random = np.random.default_rng([traits.seed, 77])
        neutral = stock.model.shape(traits.identity)
        self.shift = neutral - stock.model.mean
        self.eyes = np.stack([self._round_eye(neutral, index) for index in range(2)])
        self.neutral = neutral.astype(np.float32)
        self.joints = body.rest_joints(traits.shoulders_cm)
        self.weights = self._skinning(self.neutral)
        normals = vertex_normals(self.neutral, stock.model.faces)
        self.shirt: Shirt = shirt(stock, traits, self.neutral, normals)
        self.shirt_weights = self._skinning(self.shirt.points)
        self.glasses = glasses(stock, traits, self.neutral, self.eyes) if traits.glasses else None
        self.hairs = [self._fitted(one, color, random) for one, color in self._grown(random)]
        self.lash_places = [(lash, np.sort(random.uniform(0.3, 17.7, 8 if lash.lower else 26))) for lash in stock.lashes]
        top = {"bald": -np.inf, "balding": 8.0}.get(traits.hairstyle, 50.0)
        self.part = np.where(stock.rooted < top, parts.HAIR_PART, stock.part).astype(np.int32)
        self.face, self.scalp = (paint_skin(traits, stock.maps[name], name == "face") for name in ("face", "head_neck"))

    def _round_eye(self, neutral: np.ndarray, index: int) -> np.ndarray:
        """Takes the cornea's bulge off an eyeball, in place; returns its center."""
        part = self.stock.model.part_vertices[EYES[index]]
        center, radius = self.stock.eyes[index]
        center = center + self.shift[part].mean(0)
        away = neutral[part] - center
        distance = np.linalg.norm(away, axis=1, keepdims=True)
        neutral[part] = center + away / distance * np.minimum(distance, radius) * 0.985
        return center

    def _skinning(self, points: np.ndarray) -> np.ndarray:
        return body.skinning_weights(points, self.traits.shoulders_cm)

    def _grown(self, random: np.random.Generator) -> list[tuple[Strands, np.ndarray]]:
        traits, stock = self.traits, self.stock
        head = hair.grow_hair(stock, traits.hairstyle, traits.seed + 5)
        grown = [(head, traits.hair)] if head else []
        grown.append(
            (
                brows(stock, traits.brow_thickness, traits.brow_density, traits.brow_arch, random),
                0.75 * traits.brow + 0.25 * traits.skin,
            )
        )
        if traits.beard not in ("none", "stubble"):
            grown.append((beard(stock, traits.beard, traits.beard_length, random), limit_color(traits.hair, 0.25) * 0.9))
        return grown

    def _fitted(self, strands: Strands, color: np.ndarray, random: np.random.Generator) -> Hairs:
        points = (strands.points + self.shift[strands.bound]).astype(np.float32)
        count = len(points)
        varied = color * np.exp(strands.tint[:, None] + random.normal(0, 0.04, (count, 3)))
        return Hairs(
            strands=strands, points=points, weights=self._skinning(points.reshape(-1, 3)),
            color=np.clip(varied, 0.002, 1).astype(np.float32),
            width=(strands.width * random.uniform(0.7, 1.3, count)).astype(np.float32),
        )  # fmt: skip


def with_shape(traits: Traits, other: Traits) -> Traits:
    """The same skin, hair and clothes on another's bones."""
    return replace(traits, identity=other.identity)
