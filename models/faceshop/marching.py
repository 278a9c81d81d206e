"""What the rays of a semantic field see: features, classes, depth and the share of the head (3DFaceShop, spec 4 and 11).

Features and classes share NeRF's weights, which sum to 1. The head's weights are those of the density without its background;
what they sum to is the alpha of a matte.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.faceshop.config import Matte
from models.rendering.blending import BACKGROUND, Samples
from models.rendering.compositing import expected_depth, nerf_weights
from models.rendering.fields import Field
from models.rendering.sampling import Volume

FAINT = 0.1
"""Density per unit of length below which the hard matte sees nothing."""


def head_density(density: Tensor, classes: Tensor, matte: Matte) -> Tensor:
    """[B,N] of density [B,N] and class probabilities [B,N,K]: without the background's share, or, hard, 0 where the background
    is the likeliest class or the density is faint."""
    if matte == "soft":
        return density * (1 - classes[..., BACKGROUND])
    gone = (classes.argmax(-1) == BACKGROUND) | (density < FAINT)
    return density.masked_fill(gone, 0.0)


@dataclass(frozen=True, kw_only=True)
class Marching:
    """How one rendering sums up its samples."""

    features: int
    """Channels of a sample before its classes."""
    matte: Matte
    alone: bool
    """The head without its background: features are those of the head, over black."""

    def field(self, samples_at: Callable[[Tensor], Samples]) -> Field:
        """The renderer's field: features and classes in one, and density."""

        def evaluate(points: Tensor) -> tuple[Tensor, Tensor]:
            samples = samples_at(points)
            return torch.cat([samples.features, samples.classes], -1), samples.density

        return evaluate

    def integrate(self, values: Tensor, density: Tensor, depths: Tensor, volume: Volume) -> tuple[Tensor, ...]:
        """Features [B,N,F], classes [B,N,K], depth of the head [B,N,1] and its alpha [B,N,1] of samples in any order."""
        features, classes = values.split([self.features, values.shape[-1] - self.features], -1)
        ordered, order = depths.sort(dim=-1, stable=True)
        low, high = ordered[..., :1], ordered[..., -1:]
        step = (high - low) / depths.shape[-1]
        head = head_density(density, classes, self.matte).gather(-1, order)
        all_weights = _unsorted(nerf_weights(density.gather(-1, order), ordered), order)
        head_weights = _unsorted(nerf_weights(head, ordered, step), order)
        shown = head_weights if self.alone else all_weights
        alpha = head_weights.sum(-1, keepdim=True)
        depth = expected_depth(head_weights, depths, low, high)
        return _summed(features, shown), _summed(classes, all_weights), depth, alpha


def _summed(values: Tensor, weights: Tensor) -> Tensor:
    return (weights[..., None, :] @ values)[..., 0, :]


def _unsorted(weights: Tensor, order: Tensor) -> Tensor:
    return torch.zeros_like(weights).scatter(-1, order, weights)
