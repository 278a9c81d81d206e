"""From posed space back to canonical space, by a body (3DPortraitGAN, section 3.2; spec 4).

Notable choices:
- a point within reach moves rigidly with the frame of its nearest posed face (rule `face`); others stay. Along edges, and where
  the reach ends, the map is not continuous: that belongs to published weights;
- `skin`, ours, undoes the skinning around the nearest point of the surface, blended between vertices, and fades out over the
  outer half of the reach. Steps remain where the nearest point jumps, between chin and chest: within 1 cm of the surface 0.03 %
  of places are torn to twice their size, with `face` 1 %. Weights trained with one rule are not for the other;
- gradients reach the pose through the posed vertices. Which face is the nearest, and whether it is near enough, has none;
- `surface_offset` is RigNeRF's variant (their equation 10), for comparison only: large poses leave a second, offset face.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.heads.nearest_face import FaceTree
from models.heads.skinned_body import SkinnedBody

Warp = Callable[[Tensor], Tensor]
"""Points [B,N,3] -> points [B,N,3]."""
Rule = Literal["face", "skin", "rignerf"]
REACH = 0.25
"""m from the surface up to which a point moves along."""


class MeshWarp:
    """The faces of a body that are at rest within a cube of `box_size`, and how they take points along."""

    def __init__(self, body: SkinnedBody, *, box_size: float = 1.0, reach: float = REACH, rule: Rule = "face"):
        self.body, self.reach, self.rule = body, reach, rule
        self.faces = body.faces[body.inside(box_size)]
        self.tree = FaceTree(body.canonical, self.faces)

    def of(self, pose: Tensor) -> Warp:
        """What takes points of bodies posed by [B,6] to where they are at rest."""
        body = self.body = self.body.to(pose.device)
        if self.rule == "skin":
            return self._by_skin(body.posed(pose.detach()), transfers_of(*body.unposing(pose)))
        return (self._by_faces if self.rule == "face" else self._by_offsets)(body.posed(pose))

    def _by_faces(self, posed: Tensor) -> Warp:
        transfers = rigid_transfers(posed, self.body.canonical.to(posed), self.faces.to(posed.device))

        def warp(points: Tensor) -> Tensor:
            faces = [self.tree.nearest(*pair, self.reach).face for pair in zip(posed, points, strict=True)]
            return moved(points, transfers, torch.stack(faces))

        return warp

    def _by_skin(self, posed: Tensor, transfers: Tensor) -> Warp:
        triangles = torch.cat([self.faces, self.faces[:1]]).to(posed.device)

        def warp(points: Tensor) -> Tensor:
            nearest = [self.tree.nearest(*pair, self.reach) for pair in zip(posed, points, strict=True)]
            corners = torch.stack([triangles[one.face] for one in nearest])
            weights = torch.stack([one.weights for one in nearest]).to(points)
            distance = torch.stack([one.distance for one in nearest]).to(points)
            each = [moved(points, transfers, corners[..., k]) * weights[..., k, None] for k in range(3)]
            share = fading(distance / self.reach)[..., None]
            return torch.where(share > 0, torch.lerp(points, torch.stack(each).sum(0), share), points)

        return warp

    def _by_offsets(self, posed: Tensor) -> Warp:
        canonical, triangles = self.body.canonical.to(posed), self.faces.to(posed.device)

        def warp(points: Tensor) -> Tensor:
            nearest = [self.tree.nearest(*pair) for pair in zip(posed, points, strict=True)]
            corners = torch.stack([triangles[one.face] for one in nearest])
            weights = torch.stack([one.weights for one in nearest]).to(points)
            batch = torch.arange(len(posed), device=posed.device)[:, None, None]
            surface = (weights[..., None] * posed[batch, corners]).sum(2)
            return surface_offset(points, surface, (weights[..., None] * canonical[corners]).sum(2))

        return warp


def rigid_transfers(posed: Tensor, canonical: Tensor, faces: Tensor) -> Tensor:
    """[B,F+1,12] rotation and shift from each posed face [B,V,3] to the same one of [V,3]; the last one changes nothing."""
    turn, origin = frames(posed, faces)
    rest_turn, rest_origin = frames(canonical[None], faces)
    rotation = rest_turn.mT @ turn
    return transfers_of(rotation, rest_origin - (rotation @ origin[..., None])[..., 0])


def transfers_of(rotation: Tensor, shift: Tensor) -> Tensor:
    """[B,K+1,12] of rotations [B,K,3,3] and shifts [B,K,3]; the last one changes nothing."""
    transfers = torch.cat([rotation.flatten(2), shift], dim=2)
    still = torch.cat([torch.eye(3).flatten(), torch.zeros(3)]).to(transfers).expand(len(shift), 1, 12)
    return torch.cat([transfers, still], dim=1)


def fading(share: Tensor) -> Tensor:
    """1 up to a half, smoothly to 0 at 1."""
    rest = (2 - 2 * share).clamp(0, 1)
    return rest.square() * (3 - 2 * rest)


def frames(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Axes [B,F,3,3], a row each, and origins [B,F,3] of the faces a, b, c: X along b - a, Y normal, Z = X x Y; origin a."""
    a, b, c = vertices[:, faces].unbind(2)
    x, y = F.normalize(b - a, dim=2), F.normalize(torch.linalg.cross(b - a, c - a, dim=2), dim=2)
    return torch.stack([x, y, torch.linalg.cross(x, y, dim=2)], dim=2), a


def moved(points: Tensor, transfers: Tensor, numbers: Tensor) -> Tensor:
    """Points [B,N,3], each moved by the transfer [B,K+1,12] of its number [B,N]."""
    first = torch.arange(len(points), device=points.device)[:, None] * transfers.shape[1]
    chosen = F.embedding(numbers + first, transfers.flatten(0, 1))
    rotation, shift = chosen[..., :9].unflatten(2, (3, 3)), chosen[..., 9:]
    return (rotation @ points[..., None])[..., 0] + shift


def surface_offset(points: Tensor, surface: Tensor, rest: Tensor) -> Tensor:
    """x + (c' - c) / exp(|x - c|) of points x, their nearest surface points c, and the same at rest c', [B,N,3] each."""
    return points + (rest - surface) * torch.exp(-(points - surface).norm(dim=-1, keepdim=True))
