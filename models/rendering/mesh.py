"""Triangles into a depth buffer (3DFaceShop, spec 8): which triangle a pixel sees, and what its corners say there. No
gradient: what is rendered here are targets, masks and flows.

Notable choices: every pair of a triangle and a pixel in its box is one row of a table, so nothing loops over triangles; both
sides are seen; of equally near triangles the first counts. A triangle with a corner behind the camera is left out.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

PAIRS = 1 << 22
"""Rows of the table at a time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Projected:
    """Vertices in pictures."""

    pixels: Tensor
    """[B,V,2] column and row, the first pixel's center at 0.5."""
    depth: Tensor
    """[B,V] along the camera's axis."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fragments:
    """What pixels see, whose centers lie at +0.5."""

    triangle: Tensor
    """[B,H,W] its number, -1 for none."""
    weights: Tensor
    """[B,H,W,3] perspective-correct shares of its corners, 0 for none."""
    depth: Tensor
    """[B,H,W] along the camera's axis, 0 for none."""

    @property
    def mask(self) -> Tensor:
        """[B,1,H,W] 1 where anything is seen."""
        return (self.triangle >= 0)[:, None].float()


@torch.no_grad()
def rasterize(pixels: Tensor, depth: Tensor, triangles: Tensor, size: int) -> Fragments:
    """The nearest of triangles [F,3] at each pixel of pictures of `size`: vertices at pixels [B,V,2] (column, row) and depth
    [B,V]."""
    found = [_nearest(one[triangles], z[triangles], size) for one, z in zip(pixels, depth, strict=True)]
    triangle = torch.stack(found)
    weights, inverse = _shares(pixels, depth, triangles, triangle)
    return Fragments(triangle=triangle, weights=weights, depth=torch.where(inverse > 0, 1 / inverse, 0.0))


@torch.no_grad()
def interpolated(fragments: Fragments, values: Tensor, triangles: Tensor) -> Tensor:
    """[B,C,H,W] what pixels see of values [B,V,C] at the vertices; 0 where they see nothing."""
    corners = triangles[fragments.triangle.clamp(min=0)].flatten(1)
    each = values.gather(1, corners[..., None].expand(-1, -1, values.shape[2])).unflatten(1, fragments.weights.shape[1:])
    return (fragments.weights[..., None] * each).sum(-2).movedim(-1, 1)


def _nearest(corners: Tensor, depth: Tensor, size: int) -> Tensor:
    """[H,W] numbers of the nearest triangles with corners [F,3,2] and depth [F,3]."""
    low = (corners.amin(1) - 0.5).ceil().clamp(min=0).long()
    high = (corners.amax(1) - 0.5).floor().clamp(max=size - 1).long()
    sides = (high - low + 1).clamp(min=0) * ((depth > 0).all(1) & (_area(corners) != 0))[:, None]
    counts = sides.prod(1)
    nearest, triangle = corners.new_zeros(size * size), counts.new_full((size * size,), -1)
    for part in _parts(counts):
        which = part.repeat_interleave(counts[part])
        rank = torch.arange(len(which), device=which.device) - (counts[part].cumsum(0) - counts[part]).repeat_interleave(
            counts[part]
        )
        column = low[which, 0] + rank % sides[which, 0]
        row = low[which, 1] + rank // sides[which, 0]
        shares = _barycentric(corners[which], torch.stack([column, row], 1) + 0.5)
        inverse = (shares / depth[which]).sum(1)
        inside = (shares >= 0).all(1)
        _keep(nearest, triangle, (row * size + column)[inside], inverse[inside], which[inside])
    return triangle.view(size, size)


def _keep(nearest: Tensor, triangle: Tensor, pixel: Tensor, inverse: Tensor, which: Tensor) -> None:
    """Enters candidates into the buffers, in place."""
    before = nearest[pixel]
    nearest.scatter_reduce_(0, pixel, inverse, "amax")
    won = (inverse == nearest[pixel]) & (inverse > before)
    first = triangle.new_full(triangle.shape, torch.iinfo(triangle.dtype).max)
    first.scatter_reduce_(0, pixel[won], which[won], "amin")
    torch.where(first < torch.iinfo(triangle.dtype).max, first, triangle, out=triangle)


def _parts(counts: Tensor) -> list[Tensor]:
    """Numbers of the triangles with any pixel in their box, in parts of about `PAIRS` pixels."""
    numbers = counts.nonzero()[:, 0]
    part = (counts[numbers].cumsum(0) - 1) // PAIRS
    return [numbers[part == each] for each in part.unique()]


def _shares(pixels: Tensor, depth: Tensor, triangles: Tensor, triangle: Tensor) -> tuple[Tensor, Tensor]:
    """Perspective-correct shares [B,H,W,3] and 1/z [B,H,W] of the triangles seen [B,H,W]."""
    batch, height, width = triangle.shape
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centers = (torch.stack([column, row], -1).to(pixels) + 0.5).view(1, -1, 2).expand(batch, -1, -1)
    corners = triangles[triangle.clamp(min=0).flatten(1)]
    every = torch.arange(batch, device=pixels.device)[:, None, None]
    planar = _barycentric(pixels[every, corners].flatten(0, 1), centers.flatten(0, 1)).view(batch, -1, 3)
    shares = planar / depth[every, corners]
    inverse = shares.sum(-1, keepdim=True)
    seen = (triangle >= 0).flatten(1)[..., None]
    weights = torch.where(seen, shares / inverse, 0.0).view(batch, height, width, 3)
    return weights, torch.where(seen, inverse, 0.0).view(batch, height, width)


def _area(corners: Tensor) -> Tensor:
    """[N] twice the signed area of triangles [N,3,2]."""
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).unbind(1), (corners[:, 2] - corners[:, 0]).unbind(1)
    return ax * by - ay * bx


def _barycentric(corners: Tensor, points: Tensor) -> Tensor:
    """[N,3] shares of the corners [N,3,2] at points [N,2] in the picture."""
    area = _area(corners)
    (x, y), (u, v) = corners.unbind(2), points.unbind(1)
    first = (x[:, 1] - u) * (y[:, 2] - v) - (x[:, 2] - u) * (y[:, 1] - v)
    second = (x[:, 2] - u) * (y[:, 0] - v) - (x[:, 0] - u) * (y[:, 2] - v)
    first, second = first / area, second / area
    return torch.stack([first, second, 1 - first - second], 1)
