"""Whole pictures with fewer samples than `models.rendering.renderer` takes: neighbors share their first pass.

A first pass of few samples a ray says in which intervals there is something. Neighboring rays find it in the same intervals, so
one ray in the middle of every block of `Sampling.stride` squared pixels marches for all of them. A pixel's samples of the
second pass are drawn from the largest weights of its own block and the eight around it: what is thinner than a block is missed
by one ray in nine rather than by all. The picture is made of the second pass alone. Rays whose blocks found nothing are empty.

Notable choices:
- for pictures without gradients, at interval centers, by EG3D's rule of weights; training takes both passes for every ray, as
  published, and so does NeRF's rule, whose rays all end on something;
- the colors of samples with a weight below FAINT are not computed. That changes a color by less than the samples of a ray times
  FAINT: 1/650 for 12 of them, less than half a gray level;
- measured on 41 held-out frames of a clip at 128 pixels, 12 and 12 samples: PSNR 25.98 dB in the head, 25.97 before. From the
  picture of both passes for every ray it differs by 45 dB, which itself differs by 44 dB from one of 96 and 96 samples.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.rendering.compositing import expected_depth, finished, interval_weights, sample_weights
from models.rendering.fields import Field, SteppedField, points_on, stepped
from models.rendering.sampling import Sampling, Volume, coarse_uniforms, fine_uniforms, importance, ray_limits, stratified

EMPTY = 1e-3
"""Sum of the weights of nine blocks' first passes up to which a ray counts as empty."""
FAINT = 1.25e-4
"""Sample weight below which no color is computed."""


def shares(sampling: Sampling, volume: Volume, side: int) -> bool:
    """Whether the rays of pictures of side x side pixels share a first pass here."""
    fits = sampling.stride > 1 and side % sampling.stride == 0 and volume.rule == "eg3d"
    plain = sampling.jitter == "mid" and sampling.fine > 1 and sampling.u_coarse is None and sampling.u_fine is None
    return fits and plain and not torch.is_grad_enabled()


def render_pictures(
    field: Field, origins: Tensor, directions: Tensor, sampling: Sampling, volume: Volume, side: int, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Features [B,N,C], expected depth [B,N,1] and alpha [B,N,1] of the rays [B,N,3] of pictures of side x side pixels."""
    steps, blocks = stepped(field), side // sampling.stride
    starts, ways = (_block_rays(rays, side, blocks) for rays in (origins, directions))
    found = _first_pass(steps, starts, ways, sampling, volume, chunk)
    weights = _of_neighbors(found, blocks, sampling.stride).view(*origins.shape[:2], -1)
    near, far = ray_limits(origins, directions, volume, sampling.limits)
    hit = weights.sum(-1) > EMPTY
    order = hit.byte().argsort(dim=1, descending=True, stable=True)[:, : max(int(hit.sum(1).max()), 1)]
    rays = [_taken(values, order) for values in (origins, directions, near, far, weights * hit[..., None], hit[..., None])]
    pieces = zip(*(values.split(chunk, dim=1) for values in rays), strict=True)
    parts = zip(*(_second_pass(steps, sampling, volume, *piece) for piece in pieces), strict=True)
    color, depth, alpha = (torch.cat(list(values), dim=1) for values in parts)
    everywhere = far.scatter(1, order[..., None], depth)
    color, alpha = (_put(values, order, origins.shape[1]) for values in (color, alpha))
    return finished(color, alpha[..., 0], volume.white_back, volume.signed), everywhere, alpha


def _block_rays(rays: Tensor, side: int, blocks: int) -> Tensor:
    """[B,V*blocks*blocks,3]: the middle of each block of rays [B,V*side*side,3]."""
    stride = side // blocks
    return rays.reshape(len(rays), -1, blocks, stride, blocks, stride, 3).mean((3, 5)).flatten(1, 3)


def _first_pass(
    steps: SteppedField, origins: Tensor, directions: Tensor, sampling: Sampling, volume: Volume, chunk: int
) -> Tensor:
    """Interval weights [B,n,S-1] of rays [B,n,3], without colors."""
    near, far = ray_limits(origins, directions, volume, sampling.limits)
    depths = stratified(near, far, sampling.coarse, coarse_uniforms(sampling, origins), volume.disparity)
    pieces = zip(*(values.split(chunk, dim=1) for values in (origins, directions, depths)), strict=True)
    density = torch.cat([steps.first(points_on(*piece))[1].view(piece[2].shape) for piece in pieces], dim=1)
    return interval_weights(density, depths)


def _of_neighbors(weights: Tensor, blocks: int, stride: int) -> Tensor:
    """[P,side*side,K]: for each pixel of P pictures the largest of the weights of the nine blocks around it."""
    images = weights.reshape(-1, blocks, blocks, weights.shape[-1]).permute(0, 3, 1, 2)
    largest = F.max_pool2d(images, 3, stride=1, padding=1)
    return F.interpolate(largest, scale_factor=stride, mode="nearest").permute(0, 2, 3, 1).flatten(1, 2)


def _second_pass(
    steps: SteppedField, sampling: Sampling, volume: Volume, origins: Tensor, directions: Tensor, near: Tensor, far: Tensor,
    weights: Tensor, hit: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Color [B,K,C] not yet scaled, depth and alpha [B,K,1]; rays that are no `hit` [B,K,1] are empty."""
    first = stratified(near, far, sampling.coarse, coarse_uniforms(sampling, origins), volume.disparity)
    depths = importance(first, weights, fine_uniforms(sampling, origins))
    hidden, density = steps.first(points_on(origins, directions, depths))
    seen = sample_weights(interval_weights(density.view_as(depths), depths)) * hit
    depth = expected_depth(seen, depths, depths[..., :1], depths[..., -1:])
    return _colors_seen(steps, hidden, seen), depth, seen.sum(-1, keepdim=True)


def _colors_seen(steps: SteppedField, hidden: Tensor, weights: Tensor) -> Tensor:
    """sum_i v_i c_i [B,K,C] over samples with weights [B,K,S] that are not faint."""
    bright = weights > FAINT
    rows = bright.flatten().nonzero()[:, 0]
    colors = steps.colors(hidden.flatten(0, 1)[rows])
    counts = bright.flatten(0, 1).sum(-1)
    shares, every = weights.flatten()[rows], torch.arange(len(rows), device=rows.device)
    bags = F.embedding_bag(every, colors, counts.cumsum(0) - counts, mode="sum", per_sample_weights=shares)
    return bags.view(*weights.shape[:2], -1)


def _taken(values: Tensor, order: Tensor) -> Tensor:
    """[B,K,C] rows of values [B,N,C] by their numbers [B,K]."""
    return values.gather(1, order[..., None].expand(-1, -1, values.shape[2]))


def _put(values: Tensor, order: Tensor, count: int) -> Tensor:
    """[B,count,C] with values [B,K,C] at the rows [B,K], 0 elsewhere."""
    return values.new_zeros(len(values), count, values.shape[2]).scatter(1, order[..., None].expand_as(values), values)
