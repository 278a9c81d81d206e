"""A moving face in a still head: two fields merged sample by sample (3DFaceShop, arXiv 2209.05434, section 4.4; spec 11).

Notable choices:
- equation 24 of the paper gives the still field the weight of the face, so the face would stay as it is; its text, and we, mean
  the moving field;
- the face is where either field has one. Of the moving field alone, a chin that goes up would leave its still self behind;
- what covers the whole face belongs to it: brows, eyes, glasses, nose, mouth and lips. Ears and neck stay still.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BACKGROUND, HAIR = 0, 17
FACE = (1, 2, 3, 4, 5, 6, 10, 11, 12, 13)
"""Classes of CelebAMask-HQ that move: skin, brows, eyes, glasses, nose, mouth, lips."""
EARS = (7, 8, 9)


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """What a semantic field says at points."""

    features: Tensor
    """[B,N,F]"""
    density: Tensor
    """[B,N] per unit of length, not below 0."""
    classes: Tensor
    """[B,N,K] probabilities."""


def probability(samples: Samples, classes: tuple[int, ...]) -> Tensor:
    """[B,N] that it is one of these."""
    return samples.classes[..., list(classes)].sum(-1).clamp(max=1.0)


def face_share(still: Samples, moving: Samples, face: tuple[int, ...] = FACE) -> Tensor:
    """[B,N] how much the moving field counts: the larger probability of a face."""
    return torch.maximum(probability(still, face), probability(moving, face))


def blended(still: Samples, moving: Samples, share: Tensor) -> Samples:
    """share moving + (1 - share) still of features, density and classes; share [B,N] in 0..1, exact at both ends."""
    return Samples(
        features=torch.lerp(still.features, moving.features, share[..., None]),
        density=torch.lerp(still.density, moving.density, share),
        classes=torch.lerp(still.classes, moving.classes, share[..., None]),
    )


def kept(still: Samples, moving: Samples, classes: tuple[int, ...] = (BACKGROUND, HAIR)) -> Samples:
    """The authors' rule: where the still field's likeliest class is one of `classes`, its features and density, elsewhere the
    moving field's, whose classes remain everywhere."""
    likeliest = still.classes.argmax(-1, keepdim=True)
    stay = (likeliest == likeliest.new_tensor(classes)).any(-1)
    return Samples(
        features=torch.where(stay[..., None], still.features, moving.features),
        density=torch.where(stay, still.density, moving.density),
        classes=moving.classes,
    )
