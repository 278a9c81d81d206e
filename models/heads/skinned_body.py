"""A body that a skeleton bends: linear blend skinning (SMPL, Loper et al. 2015, section 3; 3DPortraitGAN, section 3.2).

Notable choices:
- plain arrays and no module: a network that is warped by a body keeps none of its numbers, so that a checkpoint never holds a
  licensed body, only its `identity`;
- only neck and head turn, by the six numbers p of 3DPortraitGAN; every other joint keeps its rest pose;
- the origin is the neck joint at rest, so the neck joint stays where it is whatever the pose.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

import numpy as np
import torch
from torch import Tensor

POSE = 6
"""Numbers of a pose: rotation vectors of the neck and of the head, radians."""
MIRROR = (1.0, -1.0, -1.0, 1.0, -1.0, -1.0)
"""Factors of a pose seen in a mirror at x = 0: a rotation vector keeps its x alone."""
NECK, HEAD = 12, 15
"""SMPL's numbers of the joints."""
ROOT = 4294967295
"""SMPL's parent of the joint that has none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SkinnedBody:
    """V vertices, F faces and J joints; ValueError for arrays that do not fit each other."""

    vertices: Tensor
    """[V,3] m, at rest; x to the person's left, y up, z out of the face."""
    faces: Tensor
    """[F,3] int64, counterclockwise seen from outside."""
    weights: Tensor
    """[V,J] share of each joint in a vertex; rows sum to 1."""
    joints: Tensor
    """[J,3] m, at rest."""
    parents: tuple[int, ...]
    """Of each joint, before it in the list; -1 for the first."""
    neck: int
    head: int
    corrections: Tensor | None = None
    """[V,3,9(J-1)] m that a vertex moves for each number of R - 1 of the joints behind the first (SMPL's `posedirs`)."""

    def __post_init__(self) -> None:
        count, joints = len(self.vertices), len(self.parents)
        shapes: dict[str, tuple[int, ...]] = {
            "vertices": (count, 3),
            "faces": (len(self.faces), 3),
            "weights": (count, joints),
            "joints": (joints, 3),
        }
        if self.corrections is not None:
            shapes["corrections"] = (count, 3, 9 * (joints - 1))
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"a body's {name} are {list(shape)}, not {list(getattr(self, name).shape)}")
        if any(not -1 <= parent < number for number, parent in enumerate(self.parents)) or self.parents[0] != -1:
            raise ValueError("a body's joints come after their parents, the first without one")
        if int(self.faces.min()) < 0 or int(self.faces.max()) >= count:
            raise ValueError(f"a body's faces name vertices beyond its {count}")
        if not (0 < self.neck < joints and 0 < self.head < joints):
            raise ValueError("a body's neck and head are joints behind the first")

    @classmethod
    def from_smpl(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """A body of the arrays of a SMPL file, by their names there; ValueError for what is missing or does not fit."""
        if missing := {"v_template", "f", "J_regressor", "weights", "kintree_table"} - set(arrays):
            raise ValueError(f"a SMPL body has the arrays {', '.join(sorted(missing))} too")
        vertices, regressor = (_numbers(arrays[name]) for name in ("v_template", "J_regressor"))
        if vertices.ndim != 2 or regressor.ndim != 2 or regressor.shape[1] != len(vertices):
            raise ValueError("a SMPL body's J_regressor weighs its vertices")
        parents = tuple(-1 if int(one) in (ROOT, -1) else int(one) for one in np.atleast_2d(arrays["kintree_table"])[0])
        return cls(
            vertices=vertices, faces=torch.from_numpy(np.asarray(arrays["f"]).astype(np.int64)), parents=parents,
            weights=_numbers(arrays["weights"]), joints=regressor @ vertices, neck=NECK, head=HEAD,
            corrections=_numbers(arrays["posedirs"]) if "posedirs" in arrays else None,
        )  # fmt: skip

    @cached_property
    def canonical(self) -> Tensor:
        """[V,3] m, at rest, the neck joint at the origin."""
        return self.vertices - self.joints[self.neck]

    @cached_property
    def identity(self) -> str:
        """sha256 of shape, faces and weights, to a micrometer and a millionth; the same on every machine."""
        parts = (self.canonical, self.weights, self.joints)
        numbers = [(part.double() * 1e6).round().to(torch.int64).cpu().numpy() for part in parts]
        return hashlib.sha256(b"".join(one.tobytes() for one in (*numbers, self.faces.cpu().numpy()))).hexdigest()

    def to(self, device: torch.device | str) -> "SkinnedBody":
        """The body on a device; itself where it is there already."""
        if self.vertices.device == torch.device(device):
            return self
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in tensors.items() if isinstance(value, Tensor)})

    def posed(self, pose: Tensor) -> Tensor:
        """[B,V,3] m of poses [B,6], the neck joint at the origin: v' = sum_j w_j (W_j (v - J_j) + t_j)."""
        turned, shift, vertices = self._blended(pose)
        return (turned @ vertices[..., None])[..., 0] + shift - self.joints[self.neck]

    def unposing(self, pose: Tensor) -> tuple[Tensor, Tensor]:
        """Matrices [B,V,3,3] and shifts [B,V,3] that take what is around each posed vertex to where it is at rest."""
        turned, shift, vertices = self._blended(pose)
        back, neck = torch.linalg.inv(turned), self.joints[self.neck]
        return back, (back @ (neck - shift)[..., None])[..., 0] - neck - (vertices - self.vertices)

    def inside(self, box_size: float) -> Tensor:
        """[F] bool: faces whose three vertices are at rest strictly within the cube around the neck joint."""
        return (self.canonical.abs() < box_size / 2).all(1)[self.faces].all(1)

    def _blended(self, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Blended matrices [B,V,3,3] and shifts [B,V,3], and the corrected vertices that they move."""
        turns = {self.neck: rotation(pose[:, :3]), self.head: rotation(pose[:, 3:])}
        rotations, shifts = self._transforms(turns, len(pose))
        turned = torch.einsum("vj,bjrc->bvrc", self.weights, rotations)
        return turned, torch.einsum("vj,bjr->bvr", self.weights, shifts), self._corrected(turns, len(pose))

    def _transforms(self, turns: Mapping[int, Tensor], count: int) -> tuple[Tensor, Tensor]:
        """W [B,J,3,3] and t - W J [B,J,3] of the joints, along their parents."""
        rest = torch.eye(3).to(self.joints).expand(count, 3, 3)
        rotations, places = [rest], [self.joints[0].expand(count, 3)]
        for joint, parent in list(enumerate(self.parents))[1:]:
            rotations.append(rotations[parent] @ turns.get(joint, rest))
            places.append(places[parent] + rotations[parent] @ (self.joints[joint] - self.joints[parent]))
        turned, placed = torch.stack(rotations, 1), torch.stack(places, 1)
        return turned, placed - (turned @ self.joints[..., None])[..., 0]

    def _corrected(self, turns: Mapping[int, Tensor], count: int) -> Tensor:
        """[B,V,3] or [1,V,3]: the vertices at rest with the corrections of the pose."""
        vertices = self.vertices[None]
        if self.corrections is None:
            return vertices
        for joint, turn in turns.items():
            change = (turn - torch.eye(3).to(turn)).reshape(count, 9)
            vertices = vertices + torch.einsum("vrk,bk->bvr", self.corrections[..., 9 * (joint - 1) : 9 * joint], change)
        return vertices


def rotation(vector: Tensor) -> Tensor:
    """[B,3,3] of rotation vectors [B,3], radians (Rodrigues): 1 + sin a / a K + (1 - cos a) / a^2 K^2; smooth at 0."""
    square = vector.square().sum(1)
    small = square < 1e-8
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    first = torch.where(small, 1 - square / 6, angle.sin() / angle)
    second = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / angle.square())
    x, y, z = vector.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    return torch.eye(3).to(vector) + first[:, None, None] * cross + second[:, None, None] * (cross @ cross)


def mirrored(pose: Tensor) -> Tensor:
    """Poses [B,6] as a mirror at x = 0 shows them."""
    return pose * pose.new_tensor(MIRROR)


def _numbers(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
