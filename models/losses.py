"""Losses of EG3D (section 5, StyleGAN2's objective; spec 1.14). All return a scalar, r1_penalty one number a sample."""

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
    """Mean absolute difference of raw densities at points and at their neighbors (EG3D: twins at N(0, 0.004), weight 0.25)."""
    return (density - nearby).abs().mean()


def total_variation(planes: Tensor) -> Tensor:
    """Mean squared difference of neighboring texels of [...,H,W], along both axes. A ramp of step 2 along one axis: 4."""
    down = (planes[..., 1:, :] - planes[..., :-1, :]).square().mean()
    return down + (planes[..., 1:] - planes[..., :-1]).square().mean()
