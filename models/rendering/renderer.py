"""The two-pass volume renderer: takes a field, never sees a network (EG3D section 4.3, spec 1.8-1.10 and 3.2).

Notable choices:
- coarse samples are kept and composited together with the fine ones, as in the release; a separate coarse pass without
  gradients would cost half as many lookups again;
- only depth, density and their order are sorted (X2);
- rays go in chunks, without gradients so that the working set stays in the cache (X1), and where backward computes them again;
  a ray's result does not depend on its chunk.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models.compute_mode import EXACT, Compute
from models.rendering.compositing import composite, expected_depth, interval_weights, nerf_weights, sample_weights
from models.rendering.fields import Field, points_on
from models.rendering.pictures import render_pictures, shares
from models.rendering.sampling import (
    Sampling,
    Volume,
    coarse_uniforms,
    fine_uniforms,
    importance,
    nerf_importance,
    ray_limits,
    stratified,
)

Integrate = Callable[[Tensor, Tensor, Tensor, Volume], tuple[Tensor, ...]]
"""Features [B,N,S,C], raw density and depths [B,N,S] of samples in any order along their ray -> what the rays see, [B,N,..]."""

CHUNK, GPU_CHUNK = 1024, 32768
"""Rays rendered at once without gradients; 512 to 1024 is fastest on a CPU, with 24 as with 96 samples; a GPU needs many."""


def render_rays(
    field: Field, origins: Tensor, directions: Tensor, sampling: Sampling, volume: Volume, compute: Compute = EXACT,
    chunk: int | None = None, integrate: Integrate | None = None, side: int | None = None,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Features [B,N,C], expected depth [B,N,1], alpha [B,N,1] of rays [B,N,3]; empty rays are -1 with alpha 0.

    Or what `integrate` makes of the samples. `side` where the rays are all those of pictures of side x side pixels: there they
    may share a first pass.
    """
    chunk = chunk or (GPU_CHUNK if origins.is_cuda else CHUNK)
    if side is not None and integrate is None and shares(sampling, volume, side):
        return render_pictures(field, origins, directions, sampling, volume, side, chunk)
    near, far = ray_limits(origins, directions, volume, sampling.limits)
    centered = 0.5 if volume.rule == "nerf" else 0.0
    coarse = stratified(near, far, sampling.coarse, coarse_uniforms(sampling, origins) - centered, volume.disparity)
    u = fine_uniforms(sampling, origins)
    rays = (origins, directions, coarse, u)
    if torch.is_grad_enabled():  # every piece adds a gradient as large as the planes
        chunk = 4 * chunk if compute.recompute else origins.shape[1]
    pieces = zip(*(value.split(chunk, dim=1) for value in rays), strict=True)
    parts = [compute.run(_march, field, *piece, volume, integrate or integrated) for piece in pieces]
    return tuple(torch.cat(values, dim=1) for values in zip(*parts, strict=True))


def _march(
    field: Field, origins: Tensor, directions: Tensor, depths: Tensor, u: Tensor, volume: Volume, integrate: Integrate
) -> tuple[Tensor, ...]:
    features, density = _evaluate(field, origins, directions, depths)
    if u.shape[-1]:
        fine = _fine_depths(density.detach(), depths, u, volume)
        fine_features, fine_density = _evaluate(field, origins, directions, fine)
        depths, density = torch.cat([depths, fine], -1), torch.cat([density, fine_density], -1)
        features = torch.cat([features, fine_features], -2)
    return integrate(features, density, depths, volume)


def _fine_depths(density: Tensor, depths: Tensor, u: Tensor, volume: Volume) -> Tensor:
    if volume.rule == "nerf":
        return nerf_importance(depths, nerf_weights(density, depths), u)
    return importance(depths, interval_weights(density, depths), u)


def integrated(features: Tensor, density: Tensor, depths: Tensor, volume: Volume) -> tuple[Tensor, ...]:
    """Features, expected depth and alpha by EG3D's rule."""
    weights = unsorted_weights(density, depths)
    color, alpha = composite(features, weights, volume.white_back, volume.signed)
    low, high = depths.amin(-1, keepdim=True), depths.amax(-1, keepdim=True)
    return color, expected_depth(weights, depths, low, high), alpha[..., None]


def unsorted_weights(density: Tensor, depths: Tensor) -> Tensor:
    """Sample weights [B,N,S] for samples in any order along their ray."""
    ordered, order = depths.sort(dim=-1, stable=True)
    weights = sample_weights(interval_weights(density.gather(-1, order), ordered))
    return torch.zeros_like(weights).scatter(-1, order, weights)


def _evaluate(field: Field, origins: Tensor, directions: Tensor, depths: Tensor) -> tuple[Tensor, Tensor]:
    """Features [B,N,S,C] and density [B,N,S] at origins + depths * directions."""
    features, density = field(points_on(origins, directions, depths))
    return features.unflatten(1, depths.shape[1:]), density.view_as(depths)
