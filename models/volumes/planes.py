"""Tri-plane lookup (EG3D section 4.1; spec 1.6) and tri-grid lookup (PanoHead, arXiv 2303.13071, section 3.3; spec 1.17).

Notable choices:
- which coordinates a plane reads belongs to the weights: the released EG3D reads (x,y), (x,z), (z,x) and never y-z,
  GAN-Avatar's patched one (x,y), (x,z), (z,y). One cannot be converted into the other, so it is a field of the config;
- a tri-grid gives every plane a few slices along the axis that it leaves out, so front and back of the head differ in it;
- a lookup is one weighted sum of texels over all planes: the features of a texel lie together, a point reads 12 of them (24 in
  a tri-grid), and the features of the single planes never exist. On a CPU three times faster than a grid sampler, forward and
  backward.
"""

from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Axes = tuple[tuple[int, ...], ...]

PLANE_AXES: dict[str, Axes] = {
    "eg3d_released": ((0, 1), (0, 2), (2, 0)),
    "eg3d_fixed67": ((0, 1), (0, 2), (2, 1)),
    "panohead": ((0, 1), (0, 2), (1, 2)),
    "faceshop": ((0, 2), (0, 1), (1, 2)),
}
"""First coordinate along a plane's width, second along its height; x, y, z = 0, 1, 2."""
INNER = 1e-5
"""How far inside of the border of a box to the corners the outermost points are looked up, in half boxes."""
BEHIND = 0.03
"""Head units over which something sets in behind the origin (the logistic function's scale)."""


def with_third(axes: Axes) -> Axes:
    """Each pair followed by the axis it leaves out, along which a grid has its depth: (x,y) -> (x,y,z), (y,z) -> (y,z,x)."""
    return tuple((first, second, 3 - first - second) for first, second in axes)


def as_texels(planes: Tensor, depth: int | None = None) -> Tensor:
    """Planes [B,P,C,H,W] as texels [B,P,H,W,C]; with a depth planes [B,P,C*D,H,W], whose channel c*D+d is feature c of slice d,
    as a tri-grid [B,P,D,H,W,C]."""
    if depth is None:
        return planes.permute(0, 1, 3, 4, 2).contiguous()
    return planes.unflatten(2, (-1, depth)).permute(0, 1, 3, 4, 5, 2).contiguous()


def lookup(
    texels: Tensor, points: Tensor, axes: Axes, box_size: float, shares: Tensor | None = None, to_corners: bool = False
) -> Tensor:
    """Mean over the P planes of their features, [B,N,C], of points [B,N,3] (head units); linear in between, zeros outside.

    `shares` [B,N,P] weigh the planes at every point, instead of 1/P each.

    texels [B,P,H,W,C] with axes of pairs or [B,P,D,H,W,C] of triples. q = 2 points / box_size, texel index ((q + 1) W - 1) / 2:
    the border of the box is the border of the outermost texels. A plane of ones returns 1 inside the box, 0.5 on its face, 0
    from half a texel outside. Three slices lie at q = -2/3, 0, 2/3; one slice is not a plane, it is multiplied by 1 - |q| / 2.
    `to_corners`: the outermost texels' centers lie on the border of the box, index (q + 1) (W - 1) / 2, and what is outside has
    the border's features.
    """
    index, weight = taps(points * (2 / box_size), texels.shape[:-1], axes, to_corners)
    if shares is not None:
        each = shares.reshape(-1, 1, len(axes)) * len(axes)
        weight = (weight.unflatten(1, (-1, len(axes))) * each).flatten(1)
    rows = texels.reshape(-1, texels.shape[-1])
    if torch.is_grad_enabled() and (rows.requires_grad or weight.requires_grad):
        return _WeightedRows.apply(rows, index, weight).view(*points.shape[:2], -1)
    return F.embedding_bag(index, rows, per_sample_weights=weight, mode="sum").view(*points.shape[:2], -1)


def taps(q: Tensor, shape: tuple[int, ...], axes: Axes, to_corners: bool = False) -> tuple[Tensor, Tensor]:
    """Which texels of [B,P,(D,)H,W] the points q [B,N,3] in -1..1 read: rows and weights [B*N,4*P or 8*P], the plane fastest.

    A coordinate is looked up once for all planes that read it at one size.
    """
    batch, count, *sizes = shape
    steps = [list(zip(sizes, reversed(plane), strict=True)) for plane in axes]
    places = {step: _corners(q[..., step[1]], step[0], to_corners) for plane in steps for step in plane}
    first = torch.arange(batch, dtype=torch.int32, device=q.device).view(batch, 1, 1) * count
    planes = [_products(first + number, 1 / count, [(size, *places[size, axis]) for size, axis in plane])
              for number, plane in enumerate(steps)]  # fmt: skip
    index, weight = (torch.stack(values, 2).flatten(1, 2) for values in zip(*planes, strict=True))
    return index.mT.reshape(-1, index.shape[1]), weight.mT.reshape(-1, weight.shape[1])


def _corners(q: Tensor, size: int, to_corners: bool) -> tuple[Tensor, Tensor]:
    """The two texels of a row of `size` next to coordinates q [B,N], and their weights, 0 outside: [B,2,N] each."""
    position = (q.clamp(INNER - 1, 1 - INNER) + 1) * (size - 1) / 2 if to_corners else ((q + 1) * size - 1) / 2
    low = position.floor()
    share, corners = position - low, torch.stack([low, low + 1], dim=1)
    shares = torch.stack([1 - share, share], dim=1) * ((corners >= 0) & (corners < size))
    return corners.clamp(0, size - 1).int(), shares


def _products(index: Tensor, share: float, steps: list[tuple[int, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Rows and weights [B,4 or 8,N] of one plane, whose number among all is `index` [B,1,1]."""
    weight: Tensor | float = share
    for size, corners, shares in steps:
        index = ((index * size)[:, :, None] + corners[:, None]).flatten(1, 2)
        weight = (weight[:, :, None] * shares[:, None]).flatten(1, 2) if isinstance(weight, Tensor) else shares * weight
    assert isinstance(weight, Tensor)
    return index, weight


class _WeightedRows(torch.autograd.Function):
    """sum_k weight[n,k] rows[index[n,k]], with gradients for rows and weights."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(rows if weight.requires_grad else None, index, weight)
        ctx.count = len(rows)
        return F.embedding_bag(index, rows, per_sample_weights=weight, mode="sum")

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        (rows, index, weight), gradient = ctx.saved_tensors, gradients[0].contiguous()
        of_rows = _scattered(index, weight, gradient, ctx.count) if ctx.needs_input_grad[0] else None
        of_weight = None
        if ctx.needs_input_grad[2]:
            of_weight = torch.stack([(rows[tap] * gradient).sum(1) for tap in index.unbind(1)], dim=1)
        return of_rows, None, of_weight


def _scattered(index: Tensor, weight: Tensor, gradient: Tensor, count: int) -> Tensor:
    """[count,C] sum of weight[n,k] gradient[n] at row index[n,k]; on a CPU SciPy's product of a sparse matrix is ten times
    faster than PyTorch's."""
    if index.is_cuda:
        total = gradient.new_zeros(count, gradient.shape[1])
        for tap, share in zip(index.unbind(1), weight.unbind(1), strict=True):
            total.index_add_(0, tap, gradient * share[:, None])
        return total
    ends = np.arange(0, index.numel() + 1, index.shape[1], dtype=np.int32)
    read = csr_matrix((weight.numpy().ravel(), index.numpy().ravel(), ends), shape=(len(index), count))
    return torch.from_numpy(read.T @ gradient.numpy())


def in_front(points: Tensor) -> Tensor:
    """[B,N] of points [B,N,3]: 1 on the side of the face (z > 0), 0 behind, a half at z = 0."""
    return torch.sigmoid(points[..., 2] * (1 / BEHIND))


def crop_mask(points: Tensor, box_size: float, margin: float) -> Tensor:
    """[B,N] bool: points [B,N,3] whose |x| or |z| is above box_size / 2 - margin; y is left alone, so necks stay whole.

    Unit box, margin 0.1: (0.41, 0, 0) and (0, 0, -0.41) are outside, (0, 0.49, 0.4) is not.
    """
    return points[..., [0, 2]].abs().amax(-1) > box_size / 2 - margin
