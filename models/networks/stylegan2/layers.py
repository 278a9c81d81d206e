"""Layers of StyleGAN2 (Karras et al. 2020, section 2 and appendix B; EG3D spec 1.2 and 1.4).

Notable choices:
- equalized learning rate: stored weights are N(0,1) / lr_multiplier, the gain is applied when the layer runs;
- modulation, y = d * conv(s * x, W) with d_o = (sum_i s_i^2 sum_k W_oik^2 + 1e-8)^-1/2, scales activations, so that one dense
  convolution serves the whole batch, or for one large image its few weights, so that no activation is touched twice;
- order after a convolution: + noise, + bias, activation, gain, clamp. Leaky ReLU commutes with positive factors, so the gain
  goes into scale and bias, and activation and clamp work in place.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.latent_directions import Listener
from models.networks.stylegan2.resampling import binomial_filter, downsampled_convolution, upsampled_convolution

GAIN = {"linear": 1.0, "lrelu": math.sqrt(2)}
"""Factor that keeps the variance through an activation."""
HALF = math.sqrt(0.5)
"""Gain of both branches of a residual block, which so keeps the variance."""


def bias_act(x: Tensor, bias: Tensor | None, activation: str, gain: float = 1.0, clamp: float | None = None) -> Tensor:
    """act(x + bias) * GAIN[act] * gain, then clamped to +-clamp * gain; features are dimension 1.

    Worked: x = -1, bias 0.5, lrelu -> -0.5 * 0.2 * sqrt 2 = -0.1414.
    """
    if bias is not None:
        x = x + bias.to(x.dtype).view(1, -1, *[1] * (x.ndim - 2))
    if activation == "lrelu":
        x = F.leaky_relu(x, 0.2)
    scale = GAIN[activation] * gain
    x = x * scale if scale != 1 else x
    return x.clamp(-clamp * gain, clamp * gain) if clamp is not None else x


def normalize_second_moment(x: Tensor) -> Tensor:
    """x * (mean of x^2 over features + 1e-8)^-1/2 for x [B,C]."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """act((W lr_multiplier / sqrt(in)) x + b lr_multiplier), [B,in] -> [B,out]."""

    def __init__(
        self, inputs: int, outputs: int, *, activation: str = "linear", bias: bool = True,
        lr_multiplier: float = 1.0, bias_init: float = 0.0,
    ):  # fmt: skip
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), float(bias_init))) if bias else None
        self.activation = activation
        self.bias_gain = lr_multiplier
        self.weight_gain = lr_multiplier / math.sqrt(inputs)

    def scaled(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias with their run-time gains."""
        return self.weight * self.weight_gain, None if self.bias is None else self.bias * self.bias_gain

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.scaled()
        return bias_act(F.linear(x, weight, bias), None, self.activation)


def listeners(module: nn.Module, w_dim: int, *, deaf: tuple[str, ...], own: Mapping[str, int]) -> list[Listener]:
    """The layers with a bias that take `w_dim` inputs, but for those under the `deaf` names; `own` outputs by layer name."""
    return [
        Listener(layer, own.get(name, 0))  # pyright: ignore[reportArgumentType]
        for name, layer in module.named_modules()
        if isinstance(layer, FullyConnected)
        and layer.weight.shape[1] == w_dim
        and layer.bias is not None
        and not name.startswith(deaf)
    ]


class Convolution(nn.Module):
    """Equalized convolution of the discriminator, stride 1 or halving the size: act(conv(x, W / sqrt(in k^2)) + b) * gain."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, size: int, *, activation: str = "linear", bias: bool = True, down: bool = False,
        clamp: float | None = None,
    ):  # fmt: skip
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.register_buffer("resample_filter", binomial_filter())
        self.activation, self.down, self.clamp = activation, down, clamp
        self.weight_gain = 1 / math.sqrt(inputs * size**2)

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """All gains go into the few weights; they commute with leaky ReLU."""
        scale = GAIN[self.activation] * gain
        weight, bias = self.weight * (self.weight_gain * scale), None if self.bias is None else (self.bias * scale).to(x.dtype)
        weight = weight.to(x.dtype)
        if self.down:
            y = downsampled_convolution(x, weight, self.resample_filter, bias)
        else:
            y = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        limit = None if self.clamp is None else self.clamp * gain
        if self.activation == "lrelu":
            return leaky_clamp(y, limit)
        return y if limit is None else y.clamp(-limit, limit)


def modulated_convolution(
    x: Tensor, weight: Tensor, styles: Tensor, *, demodulate: bool = True, up_filter: Tensor | None = None,
    gain: float = 1.0, bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """gain d conv(s x, W) + bias, d = 1 without `demodulate`: x [B,C,H,W], weight [O,C,k,k], styles [B,C], bias [O]
    -> [B,O,H,W], or [B,O,2H,2W] with an `up_filter`, in the precision of x.

    Scales and norms are computed in float32. Whatever is smaller is scaled: the weights of a single large image, else the
    activations.
    """
    scale = demodulation(weight, styles) * gain if demodulate else styles.new_full((len(x), len(weight)), gain)
    if len(x) == 1 and weight.numel() <= x.numel():
        folded = weight * styles[0, :, None, None] * scale[0, :, None, None, None]
        return _convolved(x, folded, up_filter, bias)
    if x.dtype != torch.float32:  # half precision overflows at large styles; demodulation makes up for the factor
        peak = styles.abs().amax(1, keepdim=True).clamp(min=1e-8)
        styles, scale = styles / peak, scale * peak
    y = _convolved(x * styles.to(x.dtype)[:, :, None, None], weight, up_filter, None)
    shift = y.new_zeros(()) if bias is None else bias.to(y.dtype)[:, None, None]
    return torch.addcmul(shift, y, scale.to(y.dtype)[:, :, None, None])


def _convolved(x: Tensor, weight: Tensor, up_filter: Tensor | None, bias: Tensor | None) -> Tensor:
    weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
    if up_filter is None:
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    return upsampled_convolution(x, weight, up_filter, bias)


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """[B,O] d_o = (sum over inputs of s_i^2 sum_k W_oik^2 + 1e-8)^-1/2: outputs keep unit variance whatever the style."""
    return (styles.square() @ weight.square().sum((2, 3)).T + 1e-8).rsqrt()


def leaky_clamp(y: Tensor, limit: float | None) -> Tensor:
    """Leaky ReLU of slope 0.2, then clamped to +-limit, in place; backward needs the output alone, which the next layer keeps.

    y = -1: -0.2; y = 300 with limit 256: 256.
    """
    if torch.is_grad_enabled() and y.requires_grad:
        return _LeakyClamp.apply(y, limit)
    y = F.leaky_relu_(y, 0.2)
    return y if limit is None else y.clamp_(-limit, limit)


class _LeakyClamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, limit: float | None) -> Tensor:
        ctx.mark_dirty(y)
        F.leaky_relu_(y, 0.2)
        if limit is not None:
            y.clamp_(-limit, limit)
        ctx.save_for_backward(y)
        ctx.limit = limit
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (out,), gradient = ctx.saved_tensors, gradients[0]
        if ctx.limit is not None:
            gradient = torch.ops.aten.hardtanh_backward(gradient, out, -ctx.limit, ctx.limit)
        return torch.ops.aten.leaky_relu_backward(gradient, out, 0.2, True), None
