"""Losses of EG3D (section 5, StyleGAN2's objective; spec 1.14) and PanoHead (arXiv 2303.13071, section 3.4; spec 1.17).

All return a scalar, the gradient penalties one number a sample. Weights are the caller's, except those between the parts of one
penalty.
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
    return _squared_gradients(logits, *inputs).sum(0)


def r1_loss_with_mask(logits: Tensor, image: Tensor, raw: Tensor, mask: Tensor, *, gamma: float, gamma_mask: float) -> Tensor:
    """[B] gamma / 2 (|dD/dimage|^2 + |dD/draw|^2) + gamma_mask / 2 |dD/dmask|^2; PanoHead: both gammas 1.

    D = 3 image_0 + raw_0 + 2 mask_0 with gammas 1 and 5: 10 / 2 + 5 * 4 / 2 = 15.
    """
    squares = _squared_gradients(logits, image, raw, mask)
    return gamma / 2 * squares[:2].sum(0) + gamma_mask / 2 * squares[2]


def _squared_gradients(logits: Tensor, *inputs: Tensor) -> Tensor:
    """[number of inputs, B], differentiable."""
    gradients = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    return torch.stack([gradient.square().flatten(1).sum(1) for gradient in gradients])


def density_smoothness(density: Tensor, nearby: Tensor) -> Tensor:
    """Mean absolute difference of raw densities at points and at their neighbors.

    EG3D `l1`: 1000 points, twins at N(0, 0.004), weight 0.25; the monotonic variants: twins at N(0, box size / 256).
    """
    return (density - nearby).abs().mean()


def density_monotonicity(density: Tensor, behind: Tensor, *, detach: bool = False) -> Tensor:
    """mean relu(s - s_behind) of raw densities: along -z, into the head, density must not fall (EG3D's monotonic variants).

    2000 points, weight 10, beside `density_smoothness`; `detach`: only the density behind learns. Densities 1, 3 and 2, 2
    behind: (0 + 1) / 2 = 0.5.
    """
    return F.relu((density.detach() if detach else density) - behind).mean()


def points_behind(points: Tensor, box_size: float) -> Tensor:
    """Points [B,N,3] moved by one texel of a 256 plane, box_size / 256, along -z: away from a frontal camera."""
    return points - points.new_tensor([0.0, 0.0, box_size / 256])


def mean_shift_penalty(shift: Tensor) -> Tensor:
    """|mean over the batch of the camera shifts [B,3]|^2: cameras may move, but not all of them the same way (weight 10).

    Shifts (1, 0, 0) and (0, 2, 0): 0.5^2 + 1^2 = 1.25.
    """
    return shift.mean(0).square().sum()


def total_variation(planes: Tensor) -> Tensor:
    """Mean squared difference of neighboring texels of [...,H,W], along both axes. A ramp of step 2 along one axis: 4."""
    down = (planes[..., 1:, :] - planes[..., :-1, :]).square().mean()
    return down + (planes[..., 1:] - planes[..., :-1]).square().mean()
