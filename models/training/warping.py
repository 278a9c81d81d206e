"""Images moved by maps of the plane (ADA, arXiv 2006.06676, appendix B; spec 1.15).

Notable choices:
- a map goes from output to source and is a 3x3 matrix on (x, y, 1) in pixels, measured from the image's center;
- pixels are moved at twice the resolution, between a wavelet's filter and its reverse, whose way up and down again is exact: no
  map, no change, and a shift by whole pixels is one;
- the warp is linear in the image, so its derivative is its transpose and can be differentiated again, as R1 needs.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.networks.stylegan2.resampling import upfirdn

SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
    0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
    0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""Low-pass of the wavelet `sym6`, as PyWavelets tabulates it: orthonormal to its own even shifts, sum sqrt 2."""
REACH = 3
"""Pixels of the image that half of the filter covers."""


def warp(images: Tensor, inverse: Tensor) -> Tensor:
    """[B,C,H,W] where pixel x of the output shows `inverse` x of the source; images go on as in a mirror, for their own size.

    Reflect, 2x up, half a (small) pixel for the filter's delay, bilinear, 2x down with the filter turned around, crop.
    """
    height, width = images.shape[2:]
    left, right, top, bottom = pads = _margins(inverse, width, height)
    taps = torch.tensor(SYM6, device=images.device, dtype=images.dtype) / math.sqrt(2)
    wide = upfirdn(F.pad(images, pads, mode="reflect"), taps, up=(2, 2), padding=(6, 5, 6, 5), gain=4)
    large = shifting(-0.5, -0.5) @ scaling(2.0, 2.0)
    source_from_output = large.to(inverse) @ shifting((left - right) / 2, (top - bottom) / 2).to(inverse) @ inverse
    source_from_output = source_from_output @ (scaling(0.5, 0.5) @ shifting(0.5, 0.5)).to(inverse)
    shape = 2 * (height + 2 * REACH), 2 * (width + 2 * REACH)
    unit_from_pixels = scaling(2 / wide.shape[3], 2 / wide.shape[2]).to(inverse)
    theta = unit_from_pixels @ source_from_output @ scaling(shape[1] / 2, shape[0] / 2).to(inverse)
    grid = F.affine_grid(theta[:, :2], [*images.shape[:2], *shape], align_corners=False)
    return upfirdn(_Sample.apply(wide, grid), taps, down=(2, 2), padding=(-1, -1, -1, -1), flip=True)


def _margins(inverse: Tensor, width: int, height: int) -> tuple[int, int, int, int]:
    """Pixels that the outputs' corners reach beyond the image on the left, right, top and bottom, and two filters more."""
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor([[-x, x, x, -x], [-y, -y, y, y], [1, 1, 1, 1]]).to(inverse)
    reached = (inverse @ corners)[:, :2].transpose(0, 1).flatten(1)
    beyond = torch.stack([-reached[0].min() - x, reached[0].max() - x, -reached[1].min() - y, reached[1].max() - y])
    needed = (beyond + 2 * REACH).ceil().long().tolist()
    left, right, top, bottom = (
        min(max(pixels, 0), side - 1) for pixels, side in zip(needed, (width, width, height, height), strict=True)
    )
    return left, right, top, bottom


class _Sample(torch.autograd.Function):
    """Bilinear sampling, zeros outside, at a grid that needs no gradient; the library's cannot be differentiated twice."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.size = images.shape
        return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Scatter.apply(gradients[0], ctx.saved_tensors[0], ctx.size), None


class _Scatter(torch.autograd.Function):
    """The transpose of `_Sample`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, size: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        like = values.new_zeros(()).expand(size)
        bilinear, zeros = 0, 0
        images, _ = torch.ops.aten.grid_sampler_2d_backward(values, like, grid, bilinear, zeros, False, [True, False])
        return images

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Sample.apply(gradients[0], ctx.saved_tensors[0]), None, None


Number = Tensor | float


def shifting(x: Number, y: Number) -> Tensor:
    """[..,3,3]"""
    return _matrix([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scaling(x: Number, y: Number) -> Tensor:
    """[..,3,3]"""
    return _matrix([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]])


def rotation(angle: Tensor) -> Tensor:
    """[..,3,3]; x turns towards y, which is clockwise where y points down."""
    return _matrix([[angle.cos(), -angle.sin(), 0.0], [angle.sin(), angle.cos(), 0.0], [0.0, 0.0, 1.0]])


def _matrix(rows: list[list[Any]]) -> Tensor:
    """[..,3,3] of numbers and tensors [..]."""
    values = torch.broadcast_tensors(*(torch.as_tensor(value, dtype=torch.float32) for row in rows for value in row))
    return torch.stack(values, dim=-1).unflatten(-1, (len(rows), -1))
