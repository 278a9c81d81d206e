"""Tri-plane lookup (EG3D section 4.1; spec 1.6).

Notable choices:
- which coordinates a plane reads belongs to the weights: the released EG3D reads (x,y), (x,z), (z,x) and never y-z,
  GAN-Avatar's patched one (x,y), (x,z), (z,y). One cannot be converted into the other, so it is a field of the config;
- the lookup returns the mean of the three planes, all a decoder ever uses, with channels before points, the layout in which
  lookup, decoder and compositing are fastest on a CPU.
"""

from torch import Tensor, stack
from torch.nn import functional as F

Axes = tuple[tuple[int, int], ...]

PLANE_AXES: dict[str, Axes] = {
    "eg3d_released": ((0, 1), (0, 2), (2, 0)),
    "eg3d_fixed67": ((0, 1), (0, 2), (2, 1)),
    "panohead": ((0, 1), (0, 2), (1, 2)),
}
"""First coordinate along a plane's width, second along its height; x, y, z = 0, 1, 2."""


def project(points: Tensor, axes: Axes) -> Tensor:
    """[B,N,3] -> [B,P,N,2]: the coordinates that each of the P planes reads."""
    return stack([points[..., list(pair)] for pair in axes], dim=1)


def sample_planes(planes: Tensor, points: Tensor, axes: Axes, box_size: float) -> Tensor:
    """Features [B,P,C,N] of points [B,N,3] (head units) on planes [B,P,C,H,W]; bilinear, zeros outside.

    q = 2 points / box_size; texel index = ((q + 1) W - 1) / 2, so the border of the box is the border of the outermost texels.
    A plane of ones returns 1 inside the box, 0.5 on its face, 0 from half a texel outside.
    """
    batch, count, channels = planes.shape[:3]
    grid = project(points * (2 / box_size), axes).flatten(0, 1)[:, None]
    sampled = F.grid_sample(planes.flatten(0, 1), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled.view(batch, count, channels, -1)


def lookup(planes: Tensor, points: Tensor, axes: Axes, box_size: float) -> Tensor:
    """Mean over the planes of their features: [B,C,N]."""
    return sample_planes(planes, points, axes, box_size).mean(1)
