"""Image-space super-resolution of the rendered features (EG3D section 4.4, spec 1.11; 3DFaceShop section 4.2.1, its spec 4).

Notable choices of EG3D's:
- one module for all official variants: two synthesis blocks whose skip image starts as the first three feature channels;
- input and output sizes follow from the image size; only the channels, which blocks double, and the resize rule differ;
- all three uses of w in a block read the last ws, and noise is always off.

3DFaceShop's is a residual network that reads the first ws, with noise; its image owes nothing to the raw one but the features.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.compute_mode import EXACT, Compute
from models.generator import Noise
from models.networks.stylegan2.resampling import binomial_filter, resize
from models.networks.stylegan2.synthesis import ResidualBlock, SynthesisBlock


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What distinguishes the official classes."""

    channels: tuple[int, int]
    doublings: int
    """2: both blocks double the size; 1: only the second."""
    enlarge_only: bool
    """Larger inputs than needed are left as they are."""
    own_filter: bool
    """The official module has a `resample_filter` of its own."""


VARIANTS = {
    "2X": Variant(channels=(128, 64), doublings=1, enlarge_only=False, own_filter=True),
    "4X": Variant(channels=(128, 64), doublings=1, enlarge_only=True, own_filter=True),
    "8X": Variant(channels=(128, 64), doublings=2, enlarge_only=False, own_filter=True),
    "8XDC": Variant(channels=(256, 128), doublings=2, enlarge_only=False, own_filter=False),
}
"""Named after the official factor at the default raw size of 64; FFHQ at 512 is 8XDC, at 128 2X."""


class SuperResolution(nn.Module):
    """rgb [B,3,r,r], features [B,C,r,r], ws -> image [B,3,H,H]."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, *, variant: Variant, image_size: int, w_dim: int, channels: tuple[int, int] | None = None,
        antialias: bool = True, clamp: float | None = 256.0,
    ):  # fmt: skip
        super().__init__()
        first, second = channels or variant.channels
        self.variant, self.antialias = variant, antialias
        self.input_size = image_size >> variant.doublings
        both = variant.doublings == 2
        self.block0 = SynthesisBlock(
            inputs, first, w_dim=w_dim, resolution=self.input_size * (2 if both else 1), image_channels=3, up=both, clamp=clamp
        )
        self.block1 = SynthesisBlock(first, second, w_dim=w_dim, resolution=image_size, image_channels=3, clamp=clamp)
        if variant.own_filter:
            self.register_buffer("resample_filter", binomial_filter())

    def forward(
        self, rgb: Tensor, features: Tensor, ws: Tensor, compute: Compute = EXACT, patch: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The image, and the skip image after the first block (which the release leaves in place of the raw image).

        A `patch` of a feature image is never resized: 32x32 of 64x64 features give 64x64 of a 128x128 image, exact but for
        the few pixels at its border that see the padding.
        """
        w = ws[:, -1:].expand(-1, 3, -1)
        if not patch and self.resizes(features.shape[-1]):
            rgb, features = (resize(x, self.input_size, self.antialias) for x in (rgb, features))
        features = features.to(compute.dtype, memory_format=torch.channels_last)
        x, skip = compute.run(self.block0, features, rgb, w, "none")
        return compute.run(self.block1, x, skip, w, "none")[1], skip

    def resizes(self, size: int) -> bool:
        return size < self.input_size or (size > self.input_size and not self.variant.enlarge_only)


class ResidualSuperResolution(nn.Module):
    """features [B,C,r,r], ws [B,4 or more,w_dim] -> image [B,3,H,H]; noise of the stored size fits whole pictures only."""

    def __init__(
        self, inputs: int, *, doublings: int, image_size: int, w_dim: int, channels: tuple[int, int], antialias: bool = True
    ):
        super().__init__()
        first, second = channels
        self.input_size, self.antialias = image_size >> doublings, antialias
        both = doublings == 2
        self.block0 = ResidualBlock(inputs, first, w_dim=w_dim, resolution=self.input_size * (2 if both else 1), up=both)
        self.block1 = ResidualBlock(first, second, w_dim=w_dim, resolution=image_size, up=True, image_channels=3)

    def forward(
        self, features: Tensor, ws: Tensor, noise: Noise = "const", compute: Compute = EXACT, patch: bool = False
    ) -> Tensor:
        """A `patch` of a feature image is never resized, and has no noise: nobody knows which part of it."""
        if patch:
            noise = "none"
        elif features.shape[-1] != self.input_size:
            features = resize(features, self.input_size, self.antialias)
        features = features.to(compute.dtype, memory_format=torch.channels_last)
        x = compute.run(self.block0, features, ws[:, :2], noise)
        return compute.run(self.block1, x, ws[:, 1:4], noise)
