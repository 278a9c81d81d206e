"""Losses of EG3D (section 5, StyleGAN2's objective; spec 1.14) and PanoHead (arXiv 2303.13071, section 3.4; spec 1.17).

All return a scalar, the gradient penalty one number a sample. Weights are the caller's.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def generator_loss(fake: Tensor) -> Tensor:
    """mean softplus(-D(fake)); logits [B,1]. Logit 0: ln 2 = 0.6931."""
    return F.softplus(-fake).mean()


def discriminator_loss(*, real: Tensor, fake: Tensor) -> Tensor:
    """mean softplus(D(fake)) + mean softplus(-D(real))."""
    return F.softplus(fake).mean() + F.softplus(-real).mean()


def r1_penalty(logits: Tensor, *inputs: Tensor) -> Tensor:
    """[B] squared gradient of D(real) over all its inputs, the image and the raw image; the loss is gamma / 2 times it.

    The inputs must require gradients before they enter the discriminator. D(x) = 3 x_0 has penalty 9.
    """
    gradients = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    return torch.stack([gradient.square().flatten(1).sum(1) for gradient in gradients]).sum(0)


def density_smoothness(density: Tensor, nearby: Tensor) -> Tensor:
    """Mean absolute difference of raw densities at points and at their neighbors.

    EG3D `l1`: 1000 points, twins at N(0, 0.004), weight 0.25.
    """
    return (density - nearby).abs().mean()


def mean_shift_penalty(shift: Tensor) -> Tensor:
    """|mean over the batch of the camera shifts [B,3]|^2: cameras may move, but not all of them the same way (weight 10).

    Shifts (1, 0, 0) and (0, 2, 0): 0.5^2 + 1^2 = 1.25.
    """
    return shift.mean(0).square().sum()
