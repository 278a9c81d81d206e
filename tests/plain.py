"""EG3D as its formulas read: what the fast code in `models/` is compared with, in numbers and in seconds.

Functions on a state dict with the official names (`backbone.synthesis.b8.conv0.weight`), written from the papers and the spec,
sections 1.2 to 1.13, without any of the rewrites of `models/`: weights are modulated and demodulated for every sample of the
batch, all rays go in one piece, both passes compute colors, and all 32 channels are sorted by depth. Shapes are the official
ones: B batch, N rays, S samples, C channels, with channels last along rays.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from models.eg3d.config import EG3DConfig

State = dict[str, Tensor]
Noise = Literal["none", "const", "random"]

AXES = {
    "eg3d_released": ((0, 1), (0, 2), (2, 0)),
    "eg3d_fixed67": ((0, 1), (0, 2), (2, 1)),
    "panohead": ((0, 1), (0, 2), (1, 2)),
}
ACTIVATIONS = {
    "linear": (lambda x: x, 1.0),
    "relu": (F.relu, math.sqrt(2)),
    "lrelu": (lambda x: F.leaky_relu(x, 0.2), math.sqrt(2)),
    "tanh": (torch.tanh, 1.0),
    "sigmoid": (torch.sigmoid, 1.0),
    "elu": (F.elu, 1.0),
    "selu": (F.selu, 1.0),
    "softplus": (F.softplus, 1.0),
    "swish": (lambda x: torch.sigmoid(x) * x, math.sqrt(2)),
}
"""Function and default gain."""


# Layers (spec 1.2)


def bias_act(
    x: Tensor, bias: Tensor | None = None, activation: str = "linear", gain: float | None = None, clamp: float | None = None
) -> Tensor:
    """clamp(gain * act(x + bias)); features are dimension 1; `clamp` limits the result, whatever the gain."""
    if bias is not None:
        x = x + bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    function, default = ACTIVATIONS[activation]
    x = function(x) * (default if gain is None else gain)
    return x if clamp is None else x.clamp(-clamp, clamp)


def fully_connected(state: State, at: str, x: Tensor, activation: str = "linear", lr: float = 1.0) -> Tensor:
    """act(x (W lr / sqrt(in))^T + b lr)"""
    weight, bias = state[f"{at}.weight"], state.get(f"{at}.bias")
    x = x @ (weight * (lr / math.sqrt(weight.shape[1]))).T
    return bias_act(x, None if bias is None else bias * lr, activation)


def second_moment(x: Tensor) -> Tensor:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


# Resampling (spec 1.4)


def setup_filter(taps: Tensor) -> Tensor:
    """Normalized to sum 1; below eight taps their outer product, from eight on separable and so one-dimensional."""
    kernel = taps if len(taps) >= 8 else taps.outer(taps)
    return kernel / kernel.sum()


BINOMIAL = setup_filter(torch.tensor([1.0, 3.0, 3.0, 1.0]))


def upfirdn(
    x: Tensor, kernel: Tensor | None, *, up: tuple[int, int] = (1, 1), down: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0), flip: bool = False, gain: float = 1.0,
) -> Tensor:  # fmt: skip
    """Insert zeros behind every pixel, pad or crop, convolve with `kernel`, keep every `down`th; (x, y) and (x0, x1, y0, y1).

    A true convolution, which turns the kernel around, unless `flip`. A one-dimensional kernel is applied along both axes.
    """
    batch, channels, height, width = x.shape
    x = F.pad(x.reshape(batch, channels, height, 1, width, 1), (0, up[0] - 1, 0, 0, 0, up[1] - 1))
    x = F.pad(x.reshape(batch, channels, height * up[1], width * up[0]), padding)
    if kernel is not None:
        taps = (kernel if flip else kernel.flip(list(range(kernel.ndim)))).to(x.dtype) * gain ** (kernel.ndim / 2)
        for each in [taps] if taps.ndim == 2 else [taps[None, :], taps[:, None]]:
            x = F.conv2d(x, each.expand(channels, 1, -1, -1), groups=channels)
    return x[:, :, :: down[1], :: down[0]]


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    return upfirdn(x, kernel, up=(2, 2), padding=(2, 1, 2, 1), gain=4)


def resampled_convolution(
    x: Tensor, weight: Tensor, kernel: Tensor | None, *, up: int = 1, down: int = 1,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0), groups: int = 1, flip: bool = True,
) -> Tensor:  # fmt: skip
    """Enlarge with `kernel`, convolve (correlate when `flip`), shrink with `kernel`; padding is in enlarged pixels."""
    before, after = padding[::2], padding[1::2]
    if kernel is not None:
        taps = kernel.shape[-1]
        grown = (taps + up - 1) // 2 * (up > 1) + (taps - down + 1) // 2 * (down > 1)
        behind = (taps - up) // 2 * (up > 1) + (taps - down) // 2 * (down > 1)
        before, after = [size + grown for size in before], [size + behind for size in after]
    pads = before[0], after[0], before[1], after[1]
    x = upfirdn(x, kernel if up > 1 else None, up=(up, up), padding=pads, gain=up**2)
    x = F.conv2d(x, (weight if flip else weight.flip([2, 3])).to(x.dtype), groups=groups)
    return upfirdn(x, kernel, down=(down, down)) if down > 1 else x


def resized(x: Tensor, size: int, mode: Literal["antialiased", "classic", "none"] | float = "antialiased") -> Tensor:
    """The four ways in which the release can bring a real image to the size of the raw one; networks use `antialiased`."""

    def to(x: Tensor, size: int, antialias: bool) -> Tensor:
        return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=antialias)

    if mode == "classic":
        return upfirdn(to(upsample(x, BINOMIAL), 2 * size + 2, False), BINOMIAL, down=(2, 2))
    if mode in ("antialiased", "none"):
        return to(x, size, mode == "antialiased")
    return (1 - mode) * to(x, size, False) + mode * to(x, size, True)


def blur_filter(sigma: float) -> Tensor:
    """2^-(i/sigma)^2 for |i| <= floor(3 sigma), normalized."""
    reach = math.floor(3 * sigma)
    taps = torch.arange(-reach, reach + 1).div(sigma).square().neg().exp2()
    return taps / taps.sum()


def blurred(x: Tensor, sigma: float) -> Tensor:
    reach = math.floor(3 * sigma)
    return upfirdn(x, blur_filter(sigma), padding=(reach, reach, reach, reach)) if reach else x


# Mapping (spec 1.3)


def mapping(state: State, at: str, z: Tensor | None, label: Tensor, layers: int) -> Tensor:
    """w [B,w_dim]"""
    x = second_moment(fully_connected(state, f"{at}.embed", label))
    if z is not None:
        x = torch.cat([second_moment(z), x], dim=1)
    for number in range(layers):
        x = fully_connected(state, f"{at}.fc{number}", x, "lrelu", lr=0.01)
    return x


def truncated(w: Tensor, mean: Tensor, psi: float, num_ws: int, cutoff: int | None = None) -> Tensor:
    """ws [B,num_ws,w_dim]"""
    ws = w[:, None].repeat(1, num_ws, 1)
    ws[:, :cutoff] = mean + psi * (ws[:, :cutoff] - mean)
    return ws


# Synthesis (spec 1.4 and 1.5)


def modulated_convolution(
    x: Tensor, weight: Tensor, styles: Tensor, *, noise: Tensor | None = None, up: int = 1, down: int = 1,
    kernel: Tensor = BINOMIAL, demodulate: bool = True, fused: bool = True,
) -> Tensor:  # fmt: skip
    """d conv(s x, W) + noise, with weights of its own for every sample (`fused`, as at inference) or scaled activations."""
    batch, (outputs, inputs, size, _) = len(x), weight.shape
    if x.dtype == torch.float16 and demodulate:  # keeps squares and sums within range; demodulation removes both factors
        weight = weight / (math.sqrt(inputs * size**2) * weight.abs().amax(dim=(1, 2, 3), keepdim=True))
        styles = styles / styles.abs().amax(dim=1, keepdim=True)
    each = weight[None] * styles[:, None, :, None, None]
    scale = (each.square().sum(dim=(2, 3, 4)) + 1e-8).rsqrt() if demodulate else torch.ones_like(each[:, :, 0, 0, 0])
    if fused:
        each = (each * scale[:, :, None, None, None]).flatten(0, 1).to(x.dtype)
        y = _resampled(x.reshape(1, -1, *x.shape[2:]), each, kernel, up, down, groups=batch)
        y = y.reshape(batch, outputs, *y.shape[2:])
    else:
        y = _resampled(x * styles.to(x.dtype)[:, :, None, None], weight.to(x.dtype), kernel, up, down, groups=1)
        y = y * scale.to(x.dtype)[:, :, None, None]
    return y if noise is None else y + noise.to(y.dtype)


def _resampled(x: Tensor, weight: Tensor, kernel: Tensor, up: int, down: int, groups: int) -> Tensor:
    """The short forms of spec 1.4: transposed convolution, then the filter; the filter, then a stride."""
    if up > 1:
        swapped = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        y = F.conv_transpose2d(x, swapped, stride=up, groups=groups)
        return upfirdn(y, kernel, padding=(1, 1, 1, 1), gain=up**2)
    if down > 1:
        return F.conv2d(upfirdn(x, kernel, padding=(2, 2, 2, 2)), weight, stride=down, groups=groups)
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)


def synthesis_layer(
    state: State, at: str, x: Tensor, w: Tensor, noise: Noise, *, up: int = 1, clamp: float | None = None, gain: float = 1.0,
    fused: bool = True,
) -> Tensor:  # fmt: skip
    """lrelu(d conv(s x, W) + noise + b) sqrt 2"""
    styles = fully_connected(state, f"{at}.affine", w)
    size = x.shape[-1] * up
    fields = {"none": None, "const": state[f"{at}.noise_const"], "random": x.new_empty(len(x), 1, size, size).normal_()}
    field = fields[noise]
    field = None if field is None else field * state[f"{at}.noise_strength"]
    y = modulated_convolution(x, state[f"{at}.weight"], styles, noise=field, up=up, fused=fused)
    return bias_act(y, state[f"{at}.bias"], "lrelu", math.sqrt(2) * gain, None if clamp is None else clamp * gain)


def to_rgb(state: State, at: str, x: Tensor, w: Tensor, clamp: float | None = None, fused: bool = True) -> Tensor:
    styles = fully_connected(state, f"{at}.affine", w) / math.sqrt(x.shape[1])
    y = modulated_convolution(x, state[f"{at}.weight"], styles, demodulate=False, fused=fused)
    return bias_act(y, state[f"{at}.bias"], clamp=clamp)


def synthesis_block(
    state: State, at: str, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Noise, *, up: int = 2,
    clamp: float | None = None, fused: bool = True,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """conv0, conv1, and the sum of the enlarged skip image and toRGB; without x it starts from the constant."""
    w = iter(ws.unbind(1))
    how = {"clamp": clamp, "fused": fused}
    if x is None:
        x = state[f"{at}.const"].repeat(len(ws), 1, 1, 1)
    else:
        x = synthesis_layer(state, f"{at}.conv0", x, next(w), noise, up=up, **how)
    x = synthesis_layer(state, f"{at}.conv1", x, next(w), noise, **how)
    color = to_rgb(state, f"{at}.torgb", x, next(w), **how)
    if image is None:
        return x, color
    return x, (upsample(image, state[f"{at}.resample_filter"]) if up > 1 else image) + color


def synthesis(state: State, at: str, ws: Tensor, noise: Noise, fused: bool = True) -> Tensor:
    """Blocks b4, b8, ... until the state has no more: [B,C,H,W]."""
    x, image = synthesis_block(state, f"{at}.b4", None, None, ws[:, :2], noise, fused=fused)
    size, first = 8, 1
    while f"{at}.b{size}.conv0.weight" in state:
        x, image = synthesis_block(state, f"{at}.b{size}", x, image, ws[:, first : first + 3], noise, fused=fused)
        size, first = 2 * size, first + 2
    return image


# Cameras and rays (spec 1.7)


def rays(label: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Origins and directions [B,N,3] through the pixel centers, row by row."""
    pose, intrinsics = label[:, :16].view(-1, 4, 4), label[:, 16:25].view(-1, 3, 3)
    fx, fy, cx, cy, skew = (intrinsics[:, row, column, None] for row, column in ((0, 0), (1, 1), (0, 2), (1, 2), (0, 1)))
    centers = (torch.arange(size, dtype=label.dtype, device=label.device) + 0.5) / size
    v, u = (grid.reshape(1, -1) for grid in torch.meshgrid(centers, centers, indexing="ij"))
    x = (u - cx + cy * skew / fy - skew * v / fy) / fx
    y = (v - cy) / fy
    points = torch.stack([x, y, torch.ones_like(x), torch.ones_like(x)], dim=-1)
    directions = (points @ pose.mT)[..., :3] - pose[:, None, :3, 3]
    return pose[:, None, :3, 3].expand_as(directions), directions / directions.norm(dim=-1, keepdim=True)


def look_at(forward: Tensor, position: Tensor) -> Tensor:
    """World from camera [B,4,4]; columns right, down, forward, position."""
    forward = F.normalize(forward, dim=-1)
    right = -F.normalize(torch.linalg.cross(torch.tensor([[0.0, 1.0, 0.0]]).expand_as(forward), forward), dim=-1)
    columns = right, F.normalize(torch.linalg.cross(forward, right), dim=-1), forward, position
    last = torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(len(forward), 1, 4)
    return torch.cat([torch.stack(columns, dim=2), last], dim=1)


def orbit(angles: Tensor, target: Tensor, radius: float) -> Tensor:
    """World from camera [B,4,4] at (horizontal, vertical) [B,2], where phi = arccos(1 - 2 vertical / pi)."""
    angles = angles.float()
    across, phi = math.pi - angles[:, 0], torch.arccos(1 - 2 * angles[:, 1].clamp(1e-5, math.pi - 1e-5) / math.pi)
    position = radius * torch.stack([phi.sin() * across.cos(), phi.cos(), phi.sin() * across.sin()], dim=1)
    return look_at(target - position, position)


def diagonal_intrinsics(degrees: float) -> Tensor:
    """[3,3] of a diagonal field of view, with the release's rounded constants."""
    focal = 1 / (math.tan(degrees * 3.14159 / 360) * 1.414)
    return torch.tensor([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]])


# Sampling along rays (spec 1.8)


def box_limits(origins: Tensor, directions: Tensor, side: float) -> tuple[Tensor, Tensor]:
    """Entry and exit [B,N,1] of the cube around the origin; -1 and -2 where it is missed."""
    first, second = ((sign * side / 2 - origins) / directions for sign in (-1, 1))
    near = torch.minimum(first, second).amax(dim=-1, keepdim=True)
    far = torch.maximum(first, second).amin(dim=-1, keepdim=True)
    hit = near <= far
    return torch.where(hit, near, -1.0), torch.where(hit, far, -2.0)


def official_limits(origins: Tensor, directions: Tensor, side: float) -> tuple[Tensor, Tensor]:
    """As in the release: misses start at the smallest near and end at the largest near of the hits."""
    near, far = box_limits(origins, directions, side)
    hit = far > near
    if hit.any():
        near, far = torch.where(hit, near, near[hit].min()), torch.where(hit, far, near[hit].max())
    return near, far


def stratified(near: Tensor, far: Tensor, u: Tensor, disparity: bool = False) -> Tensor:
    """Depths [B,N,S,1] of uniforms u [B,N,S,1] between limits [B,N,1]."""
    count = u.shape[2]
    near, far = near[:, :, None], far[:, :, None]
    share = torch.linspace(0, 1, count, device=u.device)[:, None]
    if disparity:
        share = share + u / (count - 1)
        return 1 / (1 / near * (1 - share) + 1 / far * share)
    return near + share * (far - near) + u * (far - near) / (count - 1)


@torch.no_grad()
def importance(depths: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Depths [B,N,F,1] where weights [B,N,S-1,1] between depths [B,N,S,1] say, for uniforms u [B*N,F]."""
    batch, count, samples, _ = depths.shape
    z, w = depths.reshape(batch * count, samples), weights.reshape(batch * count, samples - 1)
    peak = F.max_pool1d(w[:, None], kernel_size=2, stride=1, padding=1)
    smooth = F.avg_pool1d(peak, kernel_size=2, stride=1)[:, 0] + 0.01
    middle = (z[:, :-1] + z[:, 1:]) / 2
    return inverse_cdf(middle, smooth[:, 1:-1], u).view(batch, count, -1, 1)


def inverse_cdf(bins: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """[R,F] from bins [R,K+1], weights [R,K]; one bin more than weights means the last is never reached."""
    weights = weights + 1e-5
    cdf = torch.cumsum(weights / weights.sum(dim=-1, keepdim=True), dim=-1)
    cdf = torch.cat([torch.zeros_like(cdf[:, :1]), cdf], dim=-1)
    index = torch.searchsorted(cdf, u.contiguous(), right=True)
    low, high = (index - 1).clamp(min=0), index.clamp(max=weights.shape[1])
    cdf_low, cdf_high = cdf.gather(1, low), cdf.gather(1, high)
    bin_low, bin_high = bins.gather(1, low), bins.gather(1, high)
    step = cdf_high - cdf_low
    step = torch.where(step < 1e-5, torch.ones_like(step), step)
    return bin_low + (u - cdf_low) / step * (bin_high - bin_low)


# Planes and decoder (spec 1.6 and 1.9)


def plane_matrices(axes: str) -> Tensor:
    """[3,3,3]: of each plane, its first and second axis and the one it leaves out, as rows."""
    return torch.stack([torch.eye(3)[[first, second, 3 - first - second]] for first, second in AXES[axes]])


def project(points: Tensor, matrices: Tensor) -> Tensor:
    """[B,M,3] -> [B*P,M,2]: coordinates in the axes of each of P planes, the left-out one dropped."""
    return torch.stack([points @ torch.linalg.inv(matrix) for matrix in matrices], dim=1).flatten(0, 1)[..., :2]


def sample_grid(grid: Tensor, points: Tensor) -> Tensor:
    """[B,M,C] of points [B,M,3] in [-1,1] in one grid [1,C,D,H,W], trilinear, zeros outside."""
    where = points[:, None, None]
    sampled = F.grid_sample(grid.expand(len(points), -1, -1, -1, -1), where, padding_mode="zeros", align_corners=False)
    return sampled.flatten(2).mT


def sample_planes(planes: Tensor, points: Tensor, axes: str, side: float) -> Tensor:
    """Features [B,3,M,C] of points [B,M,3] on planes [B,3,C,H,W]."""
    batch, count, channels, height, width = planes.shape
    q = points * (2 / side)
    grid = torch.stack([q[..., list(pair)] for pair in AXES[axes]], dim=1).reshape(batch * count, 1, -1, 2)
    flat = planes.reshape(batch * count, channels, height, width)
    sampled = F.grid_sample(flat, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled.permute(0, 3, 2, 1).reshape(batch, count, -1, channels)


def decode(state: State, at: str, features: Tensor, lr: float = 1.0) -> tuple[Tensor, Tensor]:
    """Colors [B,M,F] and raw density [B,M,1] of features [B,3,M,C]."""
    x = features.mean(dim=1)
    batch, count, channels = x.shape
    x = F.softplus(fully_connected(state, f"{at}.0", x.reshape(batch * count, channels), lr=lr))
    x = fully_connected(state, f"{at}.2", x, lr=lr).view(batch, count, -1)
    return torch.sigmoid(x[..., 1:]) * 1.002 - 0.001, x[..., :1]


# Volume rendering (spec 1.10)


def unified(first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Depths, colors, densities of both passes [B,N,S,.], sorted by depth."""
    depths, colors, densities = (torch.cat(pair, dim=2) for pair in zip(first, second, strict=True))
    _, order = depths.sort(dim=2)
    return depths.gather(2, order), colors.gather(2, order.expand_as(colors)), densities.gather(2, order)


def march(colors: Tensor, densities: Tensor, depths: Tensor, white_back: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Colors [B,N,C] in [-1,1], depth [B,N,1] and weights [B,N,S-1,1] of sorted samples."""
    steps = depths[:, :, 1:] - depths[:, :, :-1]
    color, density, depth = ((value[:, :, :-1] + value[:, :, 1:]) / 2 for value in (colors, densities, depths))
    alpha = 1 - torch.exp(-F.softplus(density - 1) * steps)
    passing = torch.cat([torch.ones_like(alpha[:, :, :1]), 1 - alpha + 1e-10], dim=2)
    weights = alpha * torch.cumprod(passing, dim=2)[:, :, :-1]
    total = weights.sum(dim=2)
    rgb = (weights * color).sum(dim=2)
    mean = (weights * depth).sum(dim=2) / total
    mean = mean.nan_to_num(nan=float("inf")).clamp(depths.min(), depths.max())
    if white_back:
        rgb = rgb + 1 - total
    return rgb * 2 - 1, mean, weights


@dataclass(frozen=True, kw_only=True)
class Uniforms:
    """The random numbers of a rendering."""

    coarse: Tensor
    """[B,N,S,1]"""
    fine: Tensor
    """[B*N,F]"""


def exact_uniforms(batch: int, count: int, coarse: int, fine: int) -> Uniforms:
    """No jitter, evenly spread importance samples: det0 of the reference vectors."""
    even = torch.linspace(0, 1, fine).expand(batch * count, fine)
    return Uniforms(coarse=torch.zeros(batch, count, coarse, 1), fine=even)


def render(
    state: State, planes: Tensor, origins: Tensor, directions: Tensor, config: EG3DConfig, uniforms: Uniforms,
    at: str = "decoder.net",
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Features [B,N,C], depth [B,N,1], total weight [B,N,1] of rays [B,N,3]; planes [B,3,C,H,W]."""
    if config.ray_start == "auto" or config.ray_end == "auto":
        near, far = official_limits(origins, directions, config.box_warp)
    else:
        near, far = (torch.full_like(origins[..., :1], limit) for limit in (config.ray_start, config.ray_end))
    depths = stratified(near, far, uniforms.coarse, config.disparity_space_sampling)

    def evaluate(depths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points = origins[:, :, None] + depths * directions[:, :, None]
        features = sample_planes(planes, points.flatten(1, 2), config.plane_axes, config.box_warp)
        colors, densities = decode(state, at, features, config.decoder_lr_mul)
        return depths, colors.unflatten(1, depths.shape[1:3]), densities.unflatten(1, depths.shape[1:3])

    samples = evaluate(depths)
    if uniforms.fine.shape[1]:
        depths, colors, densities = samples
        weights = march(colors, densities, depths)[2]
        samples = unified(samples, evaluate(importance(depths, weights, uniforms.fine)))
    depths, colors, densities = samples
    rgb, depth, weights = march(colors, densities, depths, config.white_back)
    return rgb, depth, weights.sum(dim=2)


# Super-resolution (spec 1.11)


def superresolution(state: State, rgb: Tensor, features: Tensor, ws: Tensor, config: EG3DConfig, fused: bool = True) -> Tensor:
    """Two blocks with the last w, no noise, limits of 256; both double in the 8X variants, else the second alone."""
    doublings = 2 if config.superresolution.startswith("8X") else 1
    size, now, w = config.image_size >> doublings, features.shape[-1], ws[:, -1:].repeat(1, 3, 1)
    if now < size or (now > size and config.superresolution != "4X"):
        rgb, features = (
            F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=config.sr_antialias)
            for x in (rgb, features)
        )
    for name, up in (("block0", doublings), ("block1", 2)):
        features, rgb = synthesis_block(
            state, f"superresolution.{name}", features, rgb, w, "none", up=up, clamp=256, fused=fused
        )
    return rgb


# The networks (spec 1.12 and 1.13)


@dataclass(frozen=True, kw_only=True)
class Images:
    """What the generator returns."""

    image: Tensor
    """[B,3,H,H]"""
    raw: Tensor
    """[B,3,h,h]"""
    depth: Tensor
    """[B,1,h,h]"""
    alpha: Tensor
    """[B,1,h,h] total weight."""
    features: Tensor
    """[B,C,h,h]"""


def latents(state: State, config: EG3DConfig, z: Tensor, condition: Tensor) -> Tensor:
    """ws [B,num_ws,w_dim] without truncation."""
    if config.c_gen_conditioning_zero:
        condition = torch.zeros_like(condition)
    w = mapping(state, "backbone.mapping", z, condition * config.c_scale, config.mapping_layers)
    return w[:, None].repeat(1, 2 * (int(math.log2(config.plane_resolution)) - 1), 1)


def planes(state: State, ws: Tensor, noise: Noise = "const", fused: bool = True) -> Tensor:
    """[B,3,C,H,W]"""
    return synthesis(state, "backbone.synthesis", ws, noise, fused).unflatten(1, (3, -1))


def generate(
    state: State, config: EG3DConfig, ws: Tensor, label: Tensor, *, uniforms: Uniforms | None = None, noise: Noise = "const",
    fused: bool = True,
) -> Images:  # fmt: skip
    """ws [B,num_ws,w_dim] seen by cameras of `label` [B,25]; without uniforms as `exact_uniforms`."""
    size = config.neural_rendering_resolution
    if uniforms is None:
        uniforms = exact_uniforms(len(ws), size**2, config.depth_resolution, config.depth_resolution_importance)
    rendered = render(state, planes(state, ws, noise, fused), *rays(label, size), config, uniforms)
    features, depth, alpha = (value.permute(0, 2, 1).unflatten(2, (size, size)).contiguous() for value in rendered)
    raw = features[:, :3]
    image = superresolution(state, raw, features, ws, config, fused)
    return Images(image=image, raw=raw, depth=depth, alpha=alpha, features=features)


def convolution(
    state: State, at: str, x: Tensor, activation: str = "linear", *, down: int = 1, gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:  # fmt: skip
    """The discriminator's: act(conv(x, W / sqrt(in k^2)) + b)"""
    weight = state[f"{at}.weight"]
    weight = weight / math.sqrt(weight[0].numel())
    if down > 1 and weight.shape[-1] == 1:
        x = F.conv2d(upfirdn(x, BINOMIAL, down=(2, 2), padding=(1, 1, 1, 1)), weight)
    else:
        x = _resampled(x, weight, BINOMIAL, 1, down, groups=1)
    limit = None if clamp is None else clamp * gain
    return bias_act(x, state.get(f"{at}.bias"), activation, ACTIVATIONS[activation][1] * gain, limit)


def discriminator_block(state: State, at: str, x: Tensor, clamp: float | None = None) -> Tensor:
    """[B,C,2H,2W] -> [B,O,H,W]; the first one starts from the image."""
    if f"{at}.fromrgb.weight" in state:
        x = convolution(state, f"{at}.fromrgb", x, "lrelu", clamp=clamp)
    skip = convolution(state, f"{at}.skip", x, down=2, gain=math.sqrt(0.5))
    x = convolution(state, f"{at}.conv0", x, "lrelu", clamp=clamp)
    return skip + convolution(state, f"{at}.conv1", x, "lrelu", down=2, gain=math.sqrt(0.5), clamp=clamp)


def minibatch_deviation(x: Tensor, group: int = 4, features: int = 1) -> Tensor:
    """[B,C,H,W] -> [B,C+F,H,W]: deviations within groups, averaged over pixels and each of F parts of the channels."""
    batch, channels, height, width = x.shape
    members = min(group, batch)
    y = x.reshape(members, -1, features, channels // features, height, width)
    y = ((y - y.mean(dim=0)).square().mean(dim=0) + 1e-8).sqrt().mean(dim=(2, 3, 4))
    return torch.cat([x, y[:, :, None, None].repeat(members, 1, height, width)], dim=1)


def discriminator_epilogue(
    state: State, at: str, x: Tensor, label: Tensor, group: int = 4, clamp: float | None = None
) -> Tensor:
    """Logits [B,1]"""
    x = convolution(state, f"{at}.conv", minibatch_deviation(x, group), "lrelu", clamp=clamp)
    x = fully_connected(state, f"{at}.out", fully_connected(state, f"{at}.fc", x.flatten(1), "lrelu"))
    return (x * label).sum(dim=1, keepdim=True) / math.sqrt(label.shape[1])


def discriminate(state: State, image: Tensor, raw: Tensor, label: Tensor) -> Tensor:
    """Logits [B,1] of image [B,3,H,H] and raw image [B,3,h,h]."""
    x, size = torch.cat([image, resized(raw, image.shape[-1])], dim=1), image.shape[-1]
    while size > 4:
        x, size = discriminator_block(state, f"b{size}", x, clamp=256), size // 2
    return discriminator_epilogue(state, "b4", x, mapping(state, "mapping", None, label, layers=8), clamp=256)
