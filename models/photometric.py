"""Photometric terms on images in [-1,1], averaged only where a weight says that the truth is known.

Where images are a part of a batch, `of` is the whole batch's weight: the terms of its parts add up to the term of the batch.
"""

import torch
from torch import Tensor


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
