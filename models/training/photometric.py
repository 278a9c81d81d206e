"""Photometric terms on images in [-1,1], averaged only where a weight says that the truth is known.

Where images are a part of a batch, `of` is the whole batch's weight: the terms of its parts add up to the term of the batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def weighted_mean(values: Tensor, weight: Tensor, of: Tensor | None = None) -> Tensor:
    """sum(values * weight) / sum(of), the weights broadcast over channels; `of` is the weight itself where none is given.

    Values 1 and 4 with weights 3 and 1: 7/4, of which the second part has 4/4.
    """
    weight = weight.expand_as(values)
    whole = weight if of is None else of.expand(-1, *values.shape[1:])
    return (values * weight).sum() / whole.sum().clamp(min=1.0)


def color_loss(image: Tensor, truth: Tensor, weight: Tensor, of: Tensor | None = None) -> Tensor:
    """Charbonnier distance sqrt(d^2 + 0.01^2), absolute for outliers and squared near the truth; `weight` is broadcast."""
    return weighted_mean(torch.sqrt((image - truth) ** 2 + 1e-4), weight, of)


def gradient_loss(image: Tensor, truth: Tensor, weight: Tensor, of: Tensor | None = None) -> Tensor:
    """Mean absolute difference of forward differences of [B,C,H,W] images: keeps edges where color alone would blur them."""
    down = (image[..., 1:, :] - image[..., :-1, :]) - (truth[..., 1:, :] - truth[..., :-1, :])
    across = (image[..., 1:] - image[..., :-1]) - (truth[..., 1:] - truth[..., :-1])
    under, beside = (None, None) if of is None else (of[..., 1:, :], of[..., 1:])
    return weighted_mean(down.abs(), weight[..., 1:, :], under) + weighted_mean(across.abs(), weight[..., 1:], beside)


def contrast_loss(image: Tensor, truth: Tensor, weight: Tensor, of: Tensor | None = None, window: int = 5) -> Tensor:
    """Mean absolute difference of local contrast: the root mean square of the gray values' forward differences in a window.

    Where an edge is a pixel off, color and gradients are least wrong in a blur; contrast is not.
    """
    inner, whole = weight[..., 1:, 1:], None if of is None else of[..., 1:, 1:]
    return weighted_mean((_contrast(image, window) - _contrast(truth, window)).abs(), inner, whole)


def _contrast(image: Tensor, window: int) -> Tensor:
    gray = image.mean(1, keepdim=True)
    down, across = gray[..., 1:, 1:] - gray[..., :-1, 1:], gray[..., 1:, 1:] - gray[..., 1:, :-1]
    energy = F.avg_pool2d(down.square() + across.square(), window, stride=1, padding=window // 2, count_include_pad=False)
    return torch.sqrt(energy + 1e-4)
