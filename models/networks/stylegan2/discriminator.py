"""Blocks of the residual StyleGAN2 discriminator (spec 1.13).

Notable choices: skip and main branch both have gain sqrt(1/2), so a block keeps variance; the epilogue adds one channel that
says how much the samples of a minibatch group differ, hence logits depend on who else is in the batch.
"""

import math

import torch
from torch import Tensor, nn

from models.networks.stylegan2.layers import HALF, Convolution, FullyConnected
from models.networks.stylegan2.resampling import binomial_filter


class DiscriminatorBlock(nn.Module):
    """conv1_down(conv0(x)) + skip_down(x): [B,C,2H,2W] -> [B,O,H,W]; the first block starts from an image, with fromrgb."""

    resample_filter: Tensor

    def __init__(self, inputs: int, middle: int, outputs: int, *, image_channels: int = 0, clamp: float | None = None):
        super().__init__()
        self.register_buffer("resample_filter", binomial_filter())
        if not inputs:
            self.fromrgb = Convolution(image_channels, middle, 1, activation="lrelu", clamp=clamp)
        self.from_image = not inputs
        self.conv0 = Convolution(inputs or middle, middle, 3, activation="lrelu", clamp=clamp)
        self.conv1 = Convolution(middle, outputs, 3, activation="lrelu", down=True, clamp=clamp)
        self.skip = Convolution(inputs or middle, outputs, 1, bias=False, down=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fromrgb(x.contiguous(memory_format=torch.channels_last)) if self.from_image else x
        return self.skip(x, gain=HALF) + self.conv1(self.conv0(x), gain=HALF)


def minibatch_deviation(x: Tensor, group_size: int) -> Tensor:
    """[B,C,H,W] -> [B,C+1,H,W]: the last channel is the group's standard deviation, averaged over channels and pixels.

    Groups have g = min(group_size, B) members; sample i is in group i mod (B/g). Two samples of constant value 0 and 2 give 1.
    """
    batch, _, height, width = x.shape
    members = min(group_size, batch)
    groups = x.reshape(members, batch // members, -1)
    deviation = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean(1)
    return torch.cat([x, deviation.repeat(members).view(-1, 1, 1, 1).expand(-1, 1, height, width)], dim=1)


class DiscriminatorEpilogue(nn.Module):
    """[B,C,4,4] and the mapped label [B,M] -> logit [B,1] = <out(fc(conv(x))), label> / sqrt(M).

    `guesses` more outputs are what the network says of the image besides, which no label weighs.
    """

    def __init__(
        self, channels: int, *, label_dim: int, resolution: int = 4, group_size: int = 4, clamp: float | None = None,
        guesses: int = 0,
    ):  # fmt: skip
        super().__init__()
        self.group_size, self.label_dim = group_size, label_dim
        self.conv = Convolution(channels + 1, channels, 3, activation="lrelu", clamp=clamp)
        self.fc = FullyConnected(channels * resolution**2, channels, activation="lrelu")
        self.out = FullyConnected(channels, label_dim + guesses)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.judged(x, label)[0]

    def judged(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Logit [B,1] and the guesses [B,G]."""
        return self.score(self.flattened(x), label)

    def flattened(self, x: Tensor) -> Tensor:
        """[B,C*resolution^2] what is known of the images, and of how much those of a group differ."""
        return self.conv(minibatch_deviation(x, self.group_size)).flatten(1)

    def score(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Logit and guesses of what `flattened` gives."""
        values, guesses = self.out(self.fc(x)).split([self.label_dim, self.out.weight.shape[0] - self.label_dim], 1)
        return (values * label).sum(1, keepdim=True) / math.sqrt(label.shape[1]), guesses
