"""From tri-plane features to density and color (EG3D section 4.1, spec 1.9; PanoHead, spec 1.17) and to classes (3DFaceShop,
arXiv 2209.05434, section 4.2.2; spec 4), and the solid a fresh network starts from.

Notable choices: the view direction is ignored; the density prior is a formula of the config, not a weight, so a checkpoint
keeps the official names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.stylegan2.layers import FullyConnected

Activation = Literal["sigmoid", "lrelu", "none"]

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "sigmoid": lambda x: torch.sigmoid(x) * 1.002 - 0.001,
    "lrelu": lambda x: F.leaky_relu(x, 0.2) * math.sqrt(2),
    "none": lambda x: x,
}
"""What becomes of the color features. EG3D: sigmoid, a little wider so that 0 and 1 can be reached; PanoHead: none.

x = -1: 0.2685, -0.2828, -1.
"""


class Decoder(nn.Module):
    """FC -> softplus -> FC: mean plane feature [...,C] -> color features [...,F] and raw density [...].

    Output 0 is the raw density, the others go through the activation.
    """

    def __init__(
        self, inputs: int, *, hidden: int, features: int, lr_multiplier: float = 1.0, activation: Activation = "sigmoid"
    ):
        super().__init__()
        self.activation: Activation = activation
        first = FullyConnected(inputs, hidden, lr_multiplier=lr_multiplier)
        self.net = nn.Sequential(first, nn.Softplus(), FullyConnected(hidden, 1 + features, lr_multiplier=lr_multiplier))

    def forward(self, planes_feature: Tensor) -> tuple[Tensor, Tensor]:
        output = self.net(planes_feature)
        return ACTIVATIONS[self.activation](output[..., 1:]), output[..., 0]

    def density(self, planes_feature: Tensor) -> Tensor:
        """The raw density [...] alone: a thirty-third of the second layer."""
        return self.density_of(self.hidden(planes_feature))

    def hidden(self, planes_feature: Tensor) -> Tensor:
        """[...,H] what both outputs are made of."""
        return self.net[:2](planes_feature)

    def density_of(self, hidden: Tensor) -> Tensor:
        """Raw density [...] of [...,H]."""
        return self._last(hidden, slice(0, 1))[..., 0]

    def colors_of(self, hidden: Tensor) -> Tensor:
        """Color features [...,F] of [...,H]."""
        return ACTIVATIONS[self.activation](self._last(hidden, slice(1, None)))

    def _last(self, hidden: Tensor, outputs: slice) -> Tensor:
        last = self.net[2]
        assert isinstance(last, FullyConnected)
        weight, bias = last.scaled()
        return F.linear(hidden, weight[outputs], None if bias is None else bias[outputs])


def unmoved(points: Tensor) -> Tensor:
    return points


@dataclass(frozen=True, kw_only=True)
class DecodedField:
    """The radiance field of features at points and their decoder (models.rendering.fields.SteppedField)."""

    features: Callable[[Tensor], Tensor]
    """points [B,M,3] -> [B,M,C]"""
    decoder: Decoder
    tidied: Callable[[Tensor, Tensor], Tensor]
    """The decoder's raw density [B,M] and points [B,M,3] -> the raw density that is rendered."""
    warp: Callable[[Tensor], Tensor] = unmoved
    """Points of the world -> the points where features and density are."""

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Color features [B,M,F] and raw density [B,M]."""
        points = self.warp(points)
        colors, density = self.decoder(self.features(points))
        return colors, self.tidied(density, points)

    def first(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The decoder's hidden values [B,M,H] and raw density [B,M]."""
        points = self.warp(points)
        hidden = self.decoder.hidden(self.features(points))
        return hidden, self.tidied(self.decoder.density_of(hidden), points)

    def colors(self, hidden: Tensor) -> Tensor:
        """[R,F] of [R,H]."""
        return self.decoder.colors_of(hidden)


class SemanticDecoder(nn.Module):
    """FC -> softplus, then a head for color and density and one for classes: summed plane feature [...,C] -> color features
    [...,F], density before its softplus [...] and probabilities of the classes [...,K].

    The first three features are colors, 1.002 sigmoid - 0.001; the others are what the layer gives.
    """

    def __init__(self, inputs: int, *, hidden: int, features: int, classes: int):
        super().__init__()
        self.base_network = nn.Sequential(FullyConnected(inputs, hidden, bias_init=1), nn.Softplus())
        self.image_head = FullyConnected(hidden, features + 1, bias_init=1)
        self.mask_head = FullyConnected(hidden, classes, bias_init=1)

    def forward(self, planes_feature: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.base_network(planes_feature)
        appearance = self.image_head(hidden)
        features = torch.cat([ACTIVATIONS["sigmoid"](appearance[..., :3]), appearance[..., 3:-1]], -1)
        return features, appearance[..., -1], torch.softmax(self.mask_head(hidden), -1)

    def density(self, planes_feature: Tensor) -> Tensor:
        """The density before its softplus [...] alone."""
        weight, bias = self.image_head.scaled()
        return F.linear(self.base_network(planes_feature), weight[-1:], None if bias is None else bias[-1:])[..., 0]


@dataclass(frozen=True, kw_only=True)
class DensityPrior:
    """A soft ellipsoid added to the raw density: strength * sigmoid((1 - |(p - center)/radii|) / softness) - emptiness.

    With strength 15, emptiness 3, softness 0.1: +12 at the center (half of the light gone after ln 2 / 11 = 0.063 units), +4.5
    on the surface, -3 far outside (1.8 % opaque over a whole unit), where the softplus still lets gradients through.
    """

    center: tuple[float, float, float] = (0.0, 0.05, 0.0)
    """Head units; between chin and crown of the mean head."""
    radii: tuple[float, float, float] = (0.25, 0.35, 0.3)
    """Half axes along x, y, z, head units."""
    strength: float = 15.0
    """Raw density added inside."""
    emptiness: float = 3.0
    """Raw density subtracted everywhere."""
    softness: float = 0.1
    """Width of the border as a share of the radius."""

    def __post_init__(self) -> None:
        for name in ("center", "radii"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not (min(self.radii) > 0 and self.softness > 0):
            raise ValueError("the density prior's radii and softness must be above 0")

    def __call__(self, points: Tensor) -> Tensor:
        """[B,N,3] -> [B,N]"""
        distance = ((points - points.new_tensor(self.center)) / points.new_tensor(self.radii)).norm(dim=-1)
        return self.strength * torch.sigmoid((1 - distance) / self.softness) - self.emptiness
