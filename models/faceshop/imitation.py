"""Stage one: a generated face shall look like the face model's picture of the same coefficients (3DFaceShop section 4.3.1, eq.
14 to 17; spec 9).

Images are [B,3,224,224] in 0..1, masks [B,1,224,224], landmarks [B,68,2] in their pixels. All losses are scalars, unweighted.

Notable choices, where text and code disagree or the code fails:
- landmarks count by their distance, brows and mouth 100 times, eyes 50 times. The code squares it, and its 50 fell on one
  point;
- the parser's labels are compared with rendered probabilities by their logarithm. The code takes a softmax of these again,
  which leaves 2.03 at best;
- the face crop for the recognizer is aligned once.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.heads.face3dmm import SIZE

BROWS, EYES, MOUTH = slice(17, 27), slice(36, 48), slice(48, 68)
ROUND = 1e-8
"""Under the roots of squared differences, which so have a gradient everywhere."""


def color_distance(first: Tensor, second: Tensor) -> Tensor:
    """[B,1,H,W] sqrt(1e-8 + sum of the channels' squared differences) - 1e-4 of pictures [B,3,H,W]: 0 where they are equal."""
    return ((first - second).square().sum(1, keepdim=True) + ROUND).sqrt() - ROUND**0.5


def seen_at_224(image: Tensor) -> Tensor:
    """[B,3,224,224] in 0..1 of an image [B,3,H,H] in [-1,1], bicubic."""
    return F.interpolate((image + 1) / 2, size=(SIZE, SIZE), mode="bicubic", align_corners=False)


def landmark_weights() -> Tensor:
    """[68] 100 for brows and mouth, 50 for eyes, 1 for the others."""
    weights = torch.ones(68)
    weights[BROWS], weights[EYES], weights[MOUTH] = 100.0, 50.0, 100.0
    return weights


def texture_loss(image: Tensor, render: Tensor, mask: Tensor) -> Tensor:
    """Mean length of the color difference in the mask."""
    return (color_distance(image, render) * mask).sum() / mask.sum().clamp(min=1)


def skin_loss(image: Tensor, render: Tensor, mask: Tensor) -> Tensor:
    """Squared difference of the sums of all channels, a pixel of the mask: how light the whole face is."""
    area = mask.sum((1, 2, 3)).clamp(min=1)
    sums = [(picture * mask).sum((1, 2, 3)) / area for picture in (image, render)]
    return (sums[0] - sums[1]).square().mean()


def guided(image: Tensor, render: Tensor, mask: Tensor) -> Tensor:
    """The image with the rendered face in it, R' of the paper: what identity is compared with."""
    return torch.lerp(image, render, mask)


def identity_loss(first: Tensor, second: Tensor) -> Tensor:
    """1 - cosine of a recognizer's features [B,D]."""
    return (1 - F.cosine_similarity(first, second)).mean()


def landmark_loss(points: Tensor, target: Tensor, weights: Tensor, *, squared: bool = False) -> Tensor:
    """sum_i w_i |p_i - t_i| / (68 * 224), the mean over the batch; `squared`: of squared distances, as the released code has
    it.

    One pixel everywhere with weights 1: 1 / 224.
    """
    distance = (points - target).square().sum(-1)
    distance = distance if squared else (distance + ROUND).sqrt()
    return (weights * distance).sum(1).mean() / (points.shape[1] * SIZE)


def light_loss(estimated: Tensor, light: Tensor) -> Tensor:
    """Mean absolute difference of spherical harmonics [B,27]."""
    return (estimated - light).abs().mean()


def semantic_loss(classes: Tensor, labels: Tensor) -> Tensor:
    """-mean log of the rendered probability [B,K,h,w] of the parser's class [B,h,w] (eq. 14)."""
    return -(classes.gather(1, labels[:, None]) + ROUND).log().mean()
