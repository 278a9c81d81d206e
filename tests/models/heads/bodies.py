"""The bodies of the reference vectors of 3DPortraitGAN."""

from functools import cache

import numpy as np
import torch

from models.heads.skinned_body import SkinnedBody
from tests.material import shared
from tests.reference import Tensors, arrays_of

FOLDER = "goldens/3dportraitgan"


def vectors(name: str) -> Tensors:
    """The numbers of one file of vectors, masks among them."""
    path = shared(f"{FOLDER}/{name}.npz")
    with np.load(path) as arrays:
        masks = {one: torch.from_numpy(arrays[one]) for one in arrays.files if arrays[one].dtype == bool}
    return arrays_of(path) | masks


def smpl_arrays() -> dict[str, np.ndarray]:
    """A body in the layout of a SMPL file, made by code."""
    with np.load(shared(f"{FOLDER}/smpl_like_bust.npz")) as arrays:
        return {name: arrays[name] for name in arrays.files}


@cache
def smpl_like() -> SkinnedBody:
    return SkinnedBody.from_smpl(smpl_arrays())


def rod(segments: int = 6) -> SkinnedBody:
    """A closed four-sided rod of three joints, for tests that need no vectors."""
    ring = torch.tensor([[0.1, 0.0, 0.1], [0.1, 0.0, -0.1], [-0.1, 0.0, -0.1], [-0.1, 0.0, 0.1]])
    heights = torch.linspace(-0.3, 0.3, segments)
    rings = [ring + torch.tensor([0.0, float(height), 0.0]) for height in heights]
    faces = []
    for level in range(segments - 1):
        for k in range(4):
            a, b = 4 * level + k, 4 * level + (k + 1) % 4
            faces += [(a, b, b + 4), (a, b + 4, a + 4)]
    top = 4 * (segments - 1)
    faces += [(1, 0, 2), (2, 0, 3), (top, top + 1, top + 2), (top, top + 2, top + 3)]
    share = torch.sigmoid(torch.cat(rings)[:, 1] * 12)
    head = torch.sigmoid((torch.cat(rings)[:, 1] - 0.15) * 12)
    return SkinnedBody(
        vertices=torch.cat(rings), faces=torch.tensor(faces),
        weights=torch.stack([1 - share, share * (1 - head), share * head], 1),
        joints=torch.tensor([[0.0, -0.3, 0.0], [0.0, 0.0, 0.0], [0.0, 0.15, 0.0]]), parents=(-1, 0, 1), neck=1, head=2,
    )  # fmt: skip
