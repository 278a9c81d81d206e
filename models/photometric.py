"""Photometric terms on images in [-1,1], averaged only where a weight says that the truth is known."""

import torch
from torch import Tensor


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """sum(values * weight) / sum(weight), the weight broadcast over channels."""
    weight = weight.expand_as(values)
    return (values * weight).sum() / weight.sum().clamp(min=1.0)


def color_loss(image: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Charbonnier distance sqrt(d^2 + 0.01^2), absolute for outliers and squared near the truth; `weight` is broadcast."""
    return weighted_mean(torch.sqrt((image - truth) ** 2 + 1e-4), weight)


def gradient_loss(image: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute difference of forward differences of [B,C,H,W] images: keeps edges where color alone would blur them."""
    down = (image[..., 1:, :] - image[..., :-1, :]) - (truth[..., 1:, :] - truth[..., :-1, :])
    across = (image[..., 1:] - image[..., :-1]) - (truth[..., 1:] - truth[..., :-1])
    return weighted_mean(down.abs(), weight[..., 1:, :]) + weighted_mean(across.abs(), weight[..., 1:])
