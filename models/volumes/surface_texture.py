"""Paint: colors on the surface of a head at the image's own resolution, beside what comes from fewer rays (ours, no paper).

Rays are marched at half the image's side or less, and feature planes have about a texel a pixel: the rims of glasses, lashes
and strands are lost in between, however long the network learns. So where the rays found the surface, every pixel's own point
on it is looked up in three planes of colors, finer than a pixel, and that is added to the super-resolved image: one lookup a
pixel where a ray takes 24.

Notable choices:
- the paint is fixed and, beside that, linear in w: lids, lips and teeth are painted too;
- it follows the surface and never moves it: no gradient reaches depth and alpha;
- the plane (x,y) fades out behind the origin (models.volumes.planes.in_front), or the face would be painted on the head's back.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.camera import Camera
from models.networks.stylegan2.layers import FullyConnected
from models.volumes.planes import Axes, as_texels, in_front, lookup

LEAST = 0.02
"""Alpha from which a pixel is painted."""
NOWHERE = 10.0
"""Coordinate of the others' points, head units: outside of every box."""


class Paint(nn.Module):
    """Three planes of colors, empty at first: fixed ones of `texels` a side, and `sets` of them, half as fine, that w moves."""

    def __init__(self, *, texels: int, sets: int, w_dim: int, axes: Axes, box_size: float):
        super().__init__()
        self.axes, self.box_size = axes, box_size
        self.weights = FullyConnected(w_dim, sets)
        self.fixed = nn.Parameter(torch.zeros(1, 9, texels, texels))
        self.moving = nn.Parameter(torch.zeros(sets, 9, texels // 2, texels // 2))

    def forward(self, w: Tensor, camera: Camera, depth: Tensor, alpha: Tensor, size: int) -> Tensor:
        """[B,3,size,size] to be added to an image over black, of w [B,w_dim]; depth and alpha [B,1,h,w] of the rays.

        Planes of ones in front of the head add alpha.
        """
        with torch.no_grad():
            opaque = _enlarged(alpha, size)
            distance = _enlarged(depth * alpha, size) / opaque.clamp(min=LEAST)
            origins, directions = camera.rays(size)
            points = origins + distance.flatten(2).mT * directions
            points = torch.where(opaque.flatten(2).mT >= LEAST, points, NOWHERE)
            front = in_front(points)
            shares = torch.stack([front, torch.ones_like(front), torch.ones_like(front)], -1) / 3
        moved = torch.einsum("bk,kchw->bchw", self.weights(w), self.moving)
        planes = self.fixed + F.interpolate(moved, scale_factor=2, mode="bilinear", align_corners=False)
        colors = lookup(as_texels(planes.unflatten(1, (3, 3))), points, self.axes, self.box_size, shares)
        return opaque * colors.mT.unflatten(2, (size, size))


def _enlarged(values: Tensor, size: int) -> Tensor:
    return F.interpolate(values, size=(size, size), mode="bilinear", align_corners=False)
