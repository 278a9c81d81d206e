"""Resampling with the binomial filter of StyleGAN2 (EG3D spec 1.4): all up- and downsampling of the networks is here.

Notable choices:
- `upfirdn` says what all of it means; the networks use short forms of it, which tests compare with it;
- one filter, f = outer([1,3,3,1],[1,3,3,1]) / 64, kept as the buffer `resample_filter` wherever the official networks have one;
- all padding is zero padding, so images darken by design at their border;
- the plain forms (transposed convolution, then a depthwise 4x4 convolution) are also the fast ones: on one CPU thread merging
  them into one 6x6 kernel, separating the filter, or interpolating first were 2 to 5 times slower, forward and backward.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def binomial_filter() -> Tensor:
    """[4,4] outer([1,3,3,1], [1,3,3,1]) / 64; sums to 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return taps.outer(taps) / 64


def upfirdn(
    x: Tensor, kernel: Tensor, *, up: tuple[int, int] = (1, 1), down: tuple[int, int] = (1, 1),
    padding: tuple[int, int, int, int] = (0, 0, 0, 0), flip: bool = False, gain: float = 1.0,
) -> Tensor:  # fmt: skip
    """Put zeros behind every pixel, pad or crop, convolve with gain * kernel, keep every `down`th pixel of x [B,C,H,W].

    `up` and `down` are (across, down the image), `padding` (left, right, top, bottom). A kernel [k] is applied along both axes
    with sqrt(gain) each, [k,k] at once; a true convolution turns it around, `flip` does not. A width W becomes
    ceil((up W + left + right - k + 1) / down). Pixels 1, 2 with kernel [[1, 3]], up 2 and one pixel on the left: 1, 3, 2, 6.
    """
    if kernel.ndim == 1:
        half = {"flip": flip, "gain": math.sqrt(gain)}
        x = upfirdn(x, kernel[None], up=(up[0], 1), down=(down[0], 1), padding=(*padding[:2], 0, 0), **half)
        return upfirdn(x, kernel[:, None], up=(1, up[1]), down=(1, down[1]), padding=(0, 0, *padding[2:]), **half)
    batch, channels, height, width = x.shape
    if up != (1, 1):
        spread = x.new_zeros(batch, channels, height * up[1], width * up[0])
        spread[..., :: up[1], :: up[0]] = x
        x = spread
    taps = (gain * (kernel if flip else kernel.flip((0, 1)))).to(x.dtype).expand(channels, 1, -1, -1)
    return F.conv2d(F.pad(x, padding), taps, stride=down[::-1], groups=channels)


def filtered(x: Tensor, kernel: Tensor, *, padding: int, stride: int = 1, bias: Tensor | None = None) -> Tensor:
    """True convolution of every channel of x [B,C,H,W] with kernel [k,k], symmetric and so not flipped; + bias [C]."""
    if torch.is_grad_enabled() and x.requires_grad:
        y = _Filter.apply(x, kernel, padding, stride, None)
        return y if bias is None else y + bias[:, None, None]
    return _filter(x, kernel, padding, stride, None, bias)


def upsample(x: Tensor, kernel: Tensor) -> Tensor:
    """[B,C,H,W] -> [B,C,2H,2W]: zeros between the pixels, pad (2,1,2,1), filter with 4f.

    A constant image of ones keeps 1 inside and gets 0.75 along a border, 0.5625 in a corner.
    """
    size = (2 * x.shape[2], 2 * x.shape[3])
    if torch.is_grad_enabled() and x.requires_grad:
        return _Filter.apply(x, 4 * kernel, 1, 2, size)
    return _filter(x, 4 * kernel, 1, 2, size)


def _filter(
    x: Tensor, kernel: Tensor, padding: int, stride: int, spread: tuple[int, int] | None, bias: Tensor | None = None
) -> Tensor:
    """Depthwise convolution, or its transpose onto an image of the size `spread`."""
    taps = kernel.to(x.dtype).expand(x.shape[1], 1, -1, -1)
    if spread is None:
        return F.conv2d(x, taps, bias, padding=padding, stride=stride, groups=x.shape[1])
    reach = kernel.shape[-1] - 2 * padding
    rest = [want - (have - 1) * stride - reach for want, have in zip(spread, x.shape[2:], strict=True)]
    return F.conv_transpose2d(x, taps, padding=padding, stride=stride, output_padding=rest, groups=x.shape[1])


class _Filter(torch.autograd.Function):
    """A linear map whose derivative is its transpose, and the other way round; the library's own second derivative of a
    depthwise convolution computes a gradient of the filter that nobody wants, channel by channel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, padding: int, stride: int, spread: tuple[int, int] | None) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.padding, ctx.stride = padding, stride
        ctx.back = tuple(x.shape[2:]) if spread is None else None
        return _filter(x, kernel, padding, stride, spread)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        (kernel,) = ctx.saved_tensors
        return _Filter.apply(gradients[0], kernel, ctx.padding, ctx.stride, ctx.back), None, None, None, None


def upsampled_convolution(x: Tensor, weight: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Twice the size, then a 3x3 convolution, + bias [O]: x [B,C,H,W], weight [O,C,3,3] -> [B,O,2H,2W].

    Transposed convolution of stride 2 (H -> 2H+1), then 4f over one pixel of zero padding.
    """
    return filtered(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 4 * kernel, padding=1, bias=bias)


def downsampled_convolution(x: Tensor, weight: Tensor, kernel: Tensor, bias: Tensor | None = None) -> Tensor:
    """Half the size with a 3x3 or 1x1 convolution, + bias [O]: x [B,C,2H,2W], weight [O,C,k,k] -> [B,O,H,W].

    3x3: filter over two pixels of zero padding, then stride 2. 1x1: filter over one, keep every second, then mix channels.
    """
    if weight.shape[-1] == 1:
        return F.conv2d(filtered(x, kernel, padding=1, stride=2), weight, bias)
    return F.conv2d(filtered(x, kernel, padding=2), weight, bias, stride=2)


def resize(x: Tensor, size: int, antialias: bool = True) -> Tensor:
    """Bilinear resize of [B,C,H,W] to [B,C,size,size], pixel centers at +0.5."""
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=antialias)


def blur(x: Tensor, sigma: float) -> Tensor:
    """f(i) = 2^-(i/sigma)^2 for |i| <= floor(3 sigma), normalized, both directions, zero padding; sigma 0 changes nothing."""
    reach = int(3 * sigma)
    if reach == 0:
        return x
    taps = torch.arange(-reach, reach + 1, device=x.device, dtype=torch.float32).div(sigma).square().neg().exp2()
    return upfirdn(x, taps / taps.sum(), padding=(reach, reach, reach, reach))
