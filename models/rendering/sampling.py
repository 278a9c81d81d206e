"""Where rays are sampled (EG3D section 4.3, NeRF section 5.2; spec 1.8).

Notable choices:
- every depth depends on its own ray and its own uniforms only: neither the batch nor the chunk size changes a pixel;
- rays that miss the box get near = far: all their samples coincide, so they are exactly empty. The release gives them limits of
  other rays, with a typo (far from the largest near); `compat_auto_limits` reproduces that;
- depths carry no gradient, and shapes are [B,N,S]: rays before samples.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Limits = tuple[float, float] | Literal["box"]
Jitter = Literal["none", "mid", "random"]
Rule = Literal["eg3d", "nerf"]
"""How densities at samples become weights. EG3D: those of the intervals between neighbors, of raw densities. NeRF: each sample
stands for what lies up to the next, the last for all behind it, so that every ray ends opaque; densities are as they are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sampling:
    """How many samples a ray gets, and where."""

    coarse: int
    """Stratified samples of the first pass; FFHQ 48."""
    fine: int
    """Samples drawn where the first pass found something; FFHQ 48, 0 for none."""
    jitter: Jitter = "mid"
    """`mid` interval centers (video), `random` (training), `none` interval starts (the goldens)."""
    limits: Limits | None = None
    """Near and far in head units, or "box"; None: as the volume says."""
    stride: int = 1
    """Pictures without gradients: one first pass for each block of stride x stride pixels (models.rendering.pictures)."""
    u_coarse: Tensor | None = None
    """[B,N,coarse] uniforms instead of `jitter`."""
    u_fine: Tensor | None = None
    """[B,N,fine] uniforms instead of `jitter`."""
    generator: torch.Generator | None = None
    """Source of the uniforms of `random`."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """The region a field was trained in, and how its rays are stratified."""

    box_size: float = 1.0
    """Side of the cube around the origin, head units."""
    limits: Limits = "box"
    """Near and far in head units, or "box": where the ray is in the cube."""
    disparity: bool = False
    """Stratify 1/depth instead of depth."""
    white_back: bool = False
    """Composite over white before super-resolution."""
    signed: bool = True
    """Composited features leave as 2 f - 1, as colors in [-1,1] (EG3D); False: as they are (PanoHead)."""
    compat_auto_limits: bool = False
    """Give rays that miss the cube the limits of the official release."""
    rule: Rule = "eg3d"
    """With NeRF's, the coarse depths lie around evenly spaced ones (0.5: on them) and not behind them."""


def ray_limits(origins: Tensor, directions: Tensor, volume: Volume, limits: Limits | None = None) -> tuple[Tensor, Tensor]:
    """Near and far [B,N,1] of rays [B,N,3] in head units; `limits` instead of the volume's own where given."""
    limits = limits or volume.limits
    if limits != "box":
        near, far = (torch.full_like(origins[..., :1], value) for value in limits)
        return near, far
    near, far, hit = box_limits(origins, directions, volume.box_size)
    if volume.compat_auto_limits:
        return _official_misses(near, far, hit)
    near = near.clamp(min=1e-3)
    closest = -(origins * directions).sum(-1, keepdim=True).clamp(max=-1e-3)
    hit = hit & (far > near)
    return torch.where(hit, near, closest), torch.where(hit, far, closest)


@torch.no_grad()
def box_limits(origins: Tensor, directions: Tensor, box_size: float) -> tuple[Tensor, Tensor, Tensor]:
    """Entry, exit [B,N,1] and whether the ray's line meets the cube of side `box_size` around the origin.

    t = (-+box/2 - o) / d per axis, near = max of the smaller, far = min of the larger, hit where near <= far. From (0,0,2.7)
    straight ahead into a unit box: 2.2 and 3.2. A line that lies in a face plane counts as inside that slab.
    """
    first = (-box_size / 2 - origins) / directions
    second = (box_size / 2 - origins) / directions
    smaller = torch.minimum(first, second).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    larger = torch.maximum(first, second).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    near, far = smaller.amax(-1, keepdim=True), larger.amin(-1, keepdim=True)
    return near, far, near <= far


def _official_misses(near: Tensor, far: Tensor, hit: Tensor) -> tuple[Tensor, Tensor]:
    """The release: misses start at the smallest near and end at the largest near (sic) of the batch's hits."""
    if not hit.any():
        return torch.where(hit, near, -1.0), torch.where(hit, far, -2.0)
    return torch.where(hit, near, near[hit].min()), torch.where(hit, far, near[hit].max())


def stratified(near: Tensor, far: Tensor, count: int, u: Tensor, disparity: bool = False) -> Tensor:
    """z_i = near + (i + u_i) (far - near) / (count - 1), [B,N,count]; the last sample reaches past far by u of an interval.

    near 2, far 3, three samples, u 0: 2, 2.5, 3. With `disparity` the same steps in 1/z.
    """
    step = 1 / max(count - 1, 1)
    share = torch.arange(count, device=u.device, dtype=u.dtype) * step + u * step
    if disparity:
        return 1 / (1 / near * (1 - share) + 1 / far * share)
    return near + share * (far - near)


@torch.no_grad()
def nerf_importance(depths: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Depths [B,N,F] drawn from the weights [B,N,S] of coarse samples at depths [B,N,S] at uniforms u [B,N,F].

    The weights of the inner samples are the density over the bins between midpoints (NeRF section 5.2; 3DFaceShop, spec 5).
    """
    middles = (depths[..., :-1] + depths[..., 1:]) / 2
    return inverse_cdf(middles, weights[..., 1:-1] + 1e-5, u)


@torch.no_grad()
def importance(depths: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Depths [B,N,F] drawn from the coarse weights [B,N,S-1] between coarse depths [B,N,S] at uniforms u [B,N,F].

    a_k = max(w_{k-1}, w_k), b_j = (a_j + a_{j+1})/2 + 0.01, of which b_1..b_{S-3} are the density over the bins between
    midpoints m_i = (z_i + z_{i+1})/2. As in the release there is one weight fewer than bins, so mass lies half an interval too
    near and the last bin is never reached.
    """
    padded = torch.nn.functional.pad(weights, (1, 1), value=-torch.inf)
    peak = torch.maximum(padded[..., :-1], padded[..., 1:])
    smooth = (peak[..., :-1] + peak[..., 1:]) / 2 + 0.01
    middles = (depths[..., :-1] + depths[..., 1:]) / 2
    return inverse_cdf(middles, smooth[..., 1:-1], u)


def inverse_cdf(bins: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Values [..,F] at which the piecewise linear cdf of `weights` [..,K] over edges `bins` [..,>K] reaches u [..,F].

    A step of the cdf below 1e-5 counts as 1. Bins 0, 1, 2 with weights 1, 3: u = 0.625 gives 1.5.
    """
    weights = weights + 1e-5
    cdf = torch.cumsum(weights / weights.sum(-1, keepdim=True), dim=-1)
    cdf = torch.nn.functional.pad(cdf, (1, 0)).contiguous()
    above = torch.searchsorted(cdf, u.contiguous(), right=True)
    low, high = (above - 1).clamp(min=0), above.clamp(max=weights.shape[-1])
    cdf_low, cdf_high = cdf.gather(-1, low), cdf.gather(-1, high)
    bin_low, bin_high = bins.gather(-1, low), bins.gather(-1, high)
    width = cdf_high - cdf_low
    width = torch.where(width < 1e-5, torch.ones_like(width), width)
    return bin_low + (u - cdf_low) / width * (bin_high - bin_low)


def coarse_uniforms(sampling: Sampling, like: Tensor) -> Tensor:
    """[B,N,coarse] for rays `like` [B,N,3]; u 0 for `none`, 0.5 for `mid`."""
    if sampling.u_coarse is not None:
        return sampling.u_coarse
    shape = (*like.shape[:2], sampling.coarse)
    if sampling.jitter == "random":
        return _random(shape, sampling.generator, like)
    return like.new_full(shape, 0.5 if sampling.jitter == "mid" else 0.0)


def fine_uniforms(sampling: Sampling, like: Tensor) -> Tensor:
    """[B,N,fine] for rays `like` [B,N,3]; (i + .5)/fine for `mid`, linspace(0, 1) for `none`."""
    if sampling.u_fine is not None:
        return sampling.u_fine
    count, shape = sampling.fine, (*like.shape[:2], sampling.fine)
    if sampling.jitter == "random":
        return _random(shape, sampling.generator, like)
    if sampling.jitter == "mid":
        return ((torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count).expand(shape)
    return torch.linspace(0, 1, count, device=like.device, dtype=like.dtype).expand(shape)


def _random(shape: tuple[int, ...], generator: torch.Generator | None, like: Tensor) -> Tensor:
    source = generator.device if generator is not None else like.device
    return torch.rand(shape, generator=generator, device=source).to(like)
