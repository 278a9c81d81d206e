"""Volume rendering along rays (EG3D section 4.3, Max 1995; spec 1.10 and 3.2 X2).

Notable choices:
- weights belong to intervals between neighboring samples, as in the official marcher; half of each is handed to the samples at
  its ends, so colors are never sorted: sum_i w_i (c_i + c_{i+1})/2 = sum_i v_i c_i with v_i = (w_{i-1} + w_i)/2;
- depth is kept within its own ray; the release clamps it to the whole batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

OPAQUE = 1e10
"""Length of what a ray's last sample stands for in NeRF's rule."""


def interval_weights(density: Tensor, depths: Tensor) -> Tensor:
    """w [..,S-1] of sorted samples: raw density [..,S] at depths [..,S].

    alpha_i = 1 - exp(-softplus((s_i + s_{i+1})/2 - 1) (z_{i+1} - z_i)), w_i = alpha_i prod_{j<i} (1 - alpha_j + 1e-10).
    Raw density 1 over one unit: alpha = 1 - exp(-ln 2) = 0.5; two such intervals: 0.5 and 0.25.
    """
    middle = (density[..., :-1] + density[..., 1:]) / 2
    passing = torch.exp(-F.softplus(middle - 1) * (depths[..., 1:] - depths[..., :-1]))
    transmittance = torch.cumprod(F.pad(passing[..., :-1] + 1e-10, (1, 0), value=1.0), dim=-1)
    return (1 - passing) * transmittance


def nerf_weights(density: Tensor, depths: Tensor, behind: float | Tensor = OPAQUE) -> Tensor:
    """w [..,S] of sorted samples: density [..,S], not below 0, at depths [..,S]; the last sample stands for `behind` units,
    [..,1] or one number for all.

    alpha_i = 1 - exp(-s_i (z_{i+1} - z_i)), w_i = alpha_i prod_{j<i} (1 - alpha_j + 1e-10); they sum to 1 unless the last
    density is 0. Densities ln 2 and 1 at depths 2 and 3: 0.5 and 0.5.
    """
    last = torch.as_tensor(behind).to(depths).expand_as(depths[..., :1])
    steps = torch.cat([depths[..., 1:] - depths[..., :-1], last], -1)
    passing = torch.exp(-density * steps)
    transmittance = torch.cumprod(F.pad(passing[..., :-1] + 1e-10, (1, 0), value=1.0), dim=-1)
    return (1 - passing) * transmittance


def sample_weights(weights: Tensor) -> Tensor:
    """Interval weights [..,S-1] -> sample weights v [..,S], same sum."""
    half = F.pad(weights / 2, (1, 1))
    return half[..., :-1] + half[..., 1:]


def expected_depth(weights: Tensor, depths: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """sum w z / sum w [..,1] over samples [..,S], within low..high; a ray that hits nothing is at `high`."""
    total = weights.sum(-1, keepdim=True)
    empty = total <= 0
    depth = (weights * depths).sum(-1, keepdim=True) / torch.where(empty, torch.ones_like(total), total)
    return torch.where(empty, high, torch.minimum(torch.maximum(depth, low), high))


def composite(features: Tensor, weights: Tensor, white_back: bool = False, signed: bool = True) -> tuple[Tensor, Tensor]:
    """Features [B,N,C] scaled to [-1,1] and alpha [B,N] from sample features [B,N,S,C] in 0..1 and sample weights [B,N,S].

    All channels are scaled, rgb * 2 - 1, so an empty ray is -1 in each; with `white_back` +1. Not `signed`: 0 and 1.
    """
    alpha = weights.sum(-1)
    return finished((weights[..., None, :] @ features)[..., 0, :], alpha, white_back, signed), alpha


def finished(color: Tensor, alpha: Tensor, white_back: bool, signed: bool) -> Tensor:
    """`composite`'s features of sums over samples [B,N,C] and alpha [B,N]."""
    if white_back:
        color = color + (1 - alpha)[..., None]
    return color * 2 - 1 if signed else color


def over(image: Tensor, alpha: Tensor, background: Tensor) -> Tensor:
    """Image rendered over black (-1) [B,3,H,W] put over a background in [-1,1], by alpha [B,1,h,w] of any size.

    image + (1 - alpha)(background + 1): where alpha is 0 the image is -1 and the background remains.
    """
    if alpha.shape[-2:] != image.shape[-2:]:
        alpha = F.interpolate(alpha, size=image.shape[-2:], mode="bilinear", align_corners=False)
    return image + (1 - alpha) * (background + 1)
