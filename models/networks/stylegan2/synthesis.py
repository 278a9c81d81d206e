"""Synthesis network ws -> feature image (StyleGAN2 with skip outputs; EG3D spec 1.5).

Notable choices:
- a block owns conv0 (usually doubling), conv1 and toRGB; the output is the sum of all toRGB images, doubled block by block;
- each block reads num_conv + 1 consecutive ws, starting where the convolutions of the block before ended, so its toRGB shares
  its w with the next block's conv0;
- noise is an argument of the call: `const` (the stored noise, for everything deterministic), `random`, `none`;
- features are channels-last, the layout in which convolutions are fastest; skip images stay float32 whatever the precision.
"""

import math

import torch
from torch import Tensor, nn

from models.compute_mode import EXACT, Compute
from models.generator import Noise
from models.networks.stylegan2.layers import (
    GAIN,
    HALF,
    Convolution,
    FullyConnected,
    leaky_clamp,
    modulated_convolution,
)
from models.networks.stylegan2.resampling import binomial_filter, upsample

LARGE = 128
"""From this side on, activations outweigh weights and are worth computing twice."""


def block_channels(resolution: int, base: int, most: int) -> int:
    """min(base // resolution, most); base 32768 and most 512: 512 up to 64x64, 128 at 256x256."""
    return min(base // resolution, most)


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU: x [B,C,H,W], w [B,w_dim] -> [B,O,H,W] or [B,O,2H,2W]."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, *, w_dim: int, resolution: int, up: bool, clamp: float | None = None):
        super().__init__()
        self.affine = FullyConnected(w_dim, inputs, bias_init=1)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("resample_filter", binomial_filter())
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.up, self.clamp = up, clamp

    def forward(self, x: Tensor, w: Tensor, noise: Noise, gain: float = 1.0) -> Tensor:
        """clamp(lrelu(d conv(s x, W) + noise + b) sqrt 2 gain)"""
        scale = GAIN["lrelu"] * gain
        up_filter = self.resample_filter if self.up else None
        y = modulated_convolution(
            x, self.weight, self.affine(w), up_filter=up_filter, gain=scale, bias=self.bias * scale
        )  # fmt: skip
        if noise != "none":
            field = self.noise_const if noise == "const" else torch.randn_like(y[:, :1], dtype=torch.float32)
            y = y + (field * (self.noise_strength * scale)).to(y.dtype)
        return leaky_clamp(y, None if self.clamp is None else self.clamp * gain)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution without demodulation or activation: styles affine(w) / sqrt(inputs)."""

    def __init__(self, inputs: int, outputs: int, *, w_dim: int, clamp: float | None = None):
        super().__init__()
        self.affine = FullyConnected(w_dim, inputs, bias_init=1)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.weight_gain, self.clamp = 1 / math.sqrt(inputs), clamp

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """[B,O,H,W] in float32; the styles scale the few weights, so features are read once."""
        weight = self.weight[:, :, 0, 0] * (self.affine(w) * self.weight_gain)[:, None]
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2) @ weight.to(x.dtype).mT
        y = (pixels.float() + self.bias).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return y if self.clamp is None else y.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """One resolution: features x and skip image in, both out. With inputs 0 it starts from a learned constant."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, *, w_dim: int, resolution: int, image_channels: int, up: bool = True,
        clamp: float | None = None,
    ):  # fmt: skip
        super().__init__()
        self.register_buffer("resample_filter", binomial_filter())
        self.up, self.num_conv, self.large = up, 2 if inputs else 1, resolution >= LARGE
        if inputs:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim=w_dim, resolution=resolution, up=up, clamp=clamp)
        else:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim=w_dim, resolution=resolution, up=False, clamp=clamp)
        self.torgb = ToRGB(outputs, image_channels, w_dim=w_dim, clamp=clamp)

    def forward(self, x: Tensor | None, image: Tensor | None, ws: Tensor, noise: Noise) -> tuple[Tensor, Tensor]:
        """ws [B,num_conv+1,w_dim]; returns x in the precision it came in and image + toRGB(x) in float32."""
        y = self._start(len(ws)) if x is None else self.conv0(x, ws[:, 0], noise)
        y = self.conv1(y, ws[:, self.num_conv - 1], noise)
        color = self.torgb(y, ws[:, self.num_conv])
        if image is None:
            return y, color
        return y, (upsample(image, self.resample_filter) if self.up else image) + color

    def _start(self, batch: int) -> Tensor:
        return self.const.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)


class ResidualBlock(nn.Module):
    """conv1(conv0(x)) + skip(x), each at sqrt(1/2), doubling the size where `up`; with `image_channels` its image, else x."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, *, w_dim: int, resolution: int, up: bool, image_channels: int = 0):
        super().__init__()
        self.register_buffer("resample_filter", binomial_filter())
        self.conv0 = SynthesisLayer(inputs, outputs, w_dim=w_dim, resolution=resolution, up=up)
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim=w_dim, resolution=resolution, up=False)
        self.skip, self.up = Convolution(inputs, outputs, 1, bias=False), up
        if image_channels:
            self.torgb = ToRGB(outputs, image_channels, w_dim=w_dim)
        self.makes_image = bool(image_channels)

    def forward(self, x: Tensor, ws: Tensor, noise: Noise) -> Tensor:
        """x [B,C,H,W], ws [B,2,w_dim] or, for an image, [B,3,w_dim]."""
        beside = self.skip(x, gain=HALF)
        if self.up:
            beside = upsample(beside, self.skip.resample_filter)
        y = self.conv1(self.conv0(x, ws[:, 0], noise), ws[:, 1], noise, gain=HALF) + beside
        return self.torgb(y, ws[:, 2]) if self.makes_image else y


class Synthesis(nn.Module):
    """Blocks b4, b8, ... b{resolution}: ws [B,num_ws,w_dim] -> [B,image_channels,resolution,resolution]."""

    def __init__(self, *, w_dim: int, resolution: int, image_channels: int, channel_base: int, channel_max: int):
        super().__init__()
        self.resolutions = [4 << step for step in range(int(math.log2(resolution)) - 1)]
        self.num_ws = 2 * len(self.resolutions)
        channels = {size: block_channels(size, channel_base, channel_max) for size in self.resolutions}
        for size in self.resolutions:
            inputs = channels[size // 2] if size > 4 else 0
            block = SynthesisBlock(inputs, channels[size], w_dim=w_dim, resolution=size, image_channels=image_channels)
            self.add_module(f"b{size}", block)

    def forward(self, ws: Tensor, noise: Noise, compute: Compute = EXACT) -> Tensor:
        blocks: list[SynthesisBlock] = [getattr(self, f"b{size}") for size in self.resolutions]
        x, image = blocks[0](None, None, ws[:, :2], noise)
        x = x.to(compute.dtype)
        for number, block in enumerate(blocks[1:]):
            inputs = x, image, ws[:, 1 + 2 * number : 4 + 2 * number], noise
            x, image = compute.run(block, *inputs) if block.large else block(*inputs)
        return image
