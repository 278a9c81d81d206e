"""LPIPS: how different two pictures look, by the features of a classifier (Zhang et al., CVPR 2018, arXiv 1801.03924, eq. 1).

d(x, y) = sum_l mean_hw sum_c w_lc (fx_lchw - fy_lchw)^2, where f_l are the features of layer l over their length across the
channels, and w_l >= 0 were fitted to what people said. 0 is equal; 0.1 is close, 0.7 another picture.

Notable choices: only the convolutions of the classifier are built, with the numbers and names that torchvision's files have, so
that these load strictly and neither torchvision nor the authors' package is needed. Parameters are the published ones or none.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

Network = Literal["alex", "vgg"]
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation, for pictures in [-1,1]."""
CHANNELS: dict[Network, tuple[int, ...]] = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}
TAPS: dict[Network, tuple[int, ...]] = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}
"""Numbers of the activations in torchvision's `features` whose values are compared."""


class LPIPS(nn.Module):
    """Pictures x, y [B,3,H,W] in [-1,1] -> [B]."""

    shift: Tensor
    scale: Tensor

    def __init__(self, *, features: nn.Sequential, taps: tuple[int, ...], weights: tuple[Tensor, ...]):
        super().__init__()
        self.features, self.taps = features, taps
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None])
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None])
        for number, weight in enumerate(weights):
            self.register_buffer(f"weight{number}", weight.reshape(-1, 1, 1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.distance(self.values(x), self.values(y))

    def distance(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """[B] of the compared activations of two pictures."""
        total = torch.zeros(len(x[0]), device=x[0].device)
        for number, (a, b) in enumerate(zip(x, y, strict=True)):
            weight: Tensor = getattr(self, f"weight{number}")
            total = total + (weight * (unit(a) - unit(b)).square()).sum(1).mean((1, 2))
        return total

    def values(self, image: Tensor) -> list[Tensor]:
        """The compared activations [B,C,h,w], layer by layer."""
        value, found = (image - self.shift) / self.scale, []
        for number, layer in enumerate(self.features):
            value = layer(value)
            if number in self.taps:
                found.append(value)
        return found


def unit(features: Tensor) -> Tensor:
    """Features [B,C,h,w] over their length across the channels: (3, 4) becomes (0.6, 0.8), 0 stays 0."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def lpips(network: Network, trunk: Mapping[str, Tensor], linear: Mapping[str, Tensor]) -> LPIPS:
    """The metric from the state of torchvision's classifier and that of the authors' linear layers (version 0.1).

    ValueError or RuntimeError when a tensor is missing or has another shape.
    """
    features = (alexnet if network == "alex" else vgg16)()
    own = {name.removeprefix("features."): value for name, value in trunk.items() if name.startswith("features.")}
    features.load_state_dict(own, strict=True)
    weights = linear_weights(network, linear)
    return LPIPS(features=features, taps=TAPS[network], weights=weights).eval().requires_grad_(False)


def linear_weights(network: Network, linear: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """The five linear layers in a state; ValueError when one has not a number of at least 0 a channel."""
    weights = tuple(linear[name] for name in linear_names())
    for number, (weight, channels) in enumerate(zip(weights, CHANNELS[network], strict=True)):
        if weight.shape != (1, channels, 1, 1) or weight.min() < 0:
            raise ValueError(f"lin{number} is {tuple(weight.shape)}, not {channels} numbers of at least 0")
    return weights


def linear_names() -> tuple[str, ...]:
    return tuple(f"lin{number}.model.1.weight" for number in range(5))


def alexnet() -> nn.Sequential:
    """The convolutions of torchvision's AlexNet up to the last activation, numbered as there."""
    a, b, c, d, e = CHANNELS["alex"]
    return nn.Sequential(
        nn.Conv2d(3, a, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2),
        nn.Conv2d(b, c, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
        nn.Conv2d(d, e, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


def vgg16() -> nn.Sequential:
    """The convolutions of torchvision's VGG-16 up to the last activation, numbered as there."""
    layers: list[nn.Module] = []
    channels = 3
    for block, (width, count) in enumerate(zip(CHANNELS["vgg"], (2, 2, 3, 3, 3), strict=True)):
        layers += [nn.MaxPool2d(2, stride=2)] if block else []
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers)
