"""Discriminators that see image, raw image and camera together: EG3D's dual one (section 4.5; spec 1.13) and PanoHead's two
with the foreground mask (arXiv 2303.13071, section 3.2; spec 1.17).

Notable choices:
- the raw image is resized to the image's size and stacked behind it, so super-resolution has to agree with the rays;
- they always see the true camera, even when the generator does not; `disc_c_noise` blurs it against memorized poses;
- the mask, 0..1, enters as 2 mask - 1: as a seventh channel, or (an earlier form) through a branch of its own blocks;
- residual blocks b{size}..b8, then b4, with the official parameter names.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from models.camera import LABEL_DIM, Camera
from models.generator import DiscriminatorOutput, Rendering
from models.networks.stylegan2.discriminator import DiscriminatorBlock, DiscriminatorEpilogue
from models.networks.stylegan2.mapping import Mapping
from models.networks.stylegan2.resampling import binomial_filter, resize
from models.networks.stylegan2.synthesis import block_channels

MAPPING_LAYERS = 8
CONV_CLAMP = 256.0
GROUP_SIZE = 4
MASK_SIZE = 128
"""Side of the mask that the separate branch sees."""

Judged = Rendering | dict[str, Tensor]
"""A rendering, or a dict of `image` [B,3,H,H] and `image_raw` [B,3,h,h] in [-1,1] and, where one is judged, `image_mask`
[B,1,h,h] in 0..1, of any size."""


class DiscriminatorConfig(Protocol):
    """The fields of a family's config that its discriminator reads."""

    @property
    def image_size(self) -> int: ...
    @property
    def channel_base(self) -> int: ...
    @property
    def channel_max(self) -> int: ...
    @property
    def discriminator_channel_max(self) -> int | None: ...
    @property
    def discriminator_channel_base(self) -> int | None: ...
    @property
    def disc_c_noise(self) -> float: ...


class DualDiscriminator(nn.Module):
    """image, raw and camera -> logits [B,1], which depend on the batch through its deviation channel."""

    resample_filter: Tensor
    image_channels = 6
    needs_mask = False
    own_filter = True
    """The official module has a `resample_filter` of its own."""

    def __init__(
        self, config: DiscriminatorConfig, *, label_dim: int = LABEL_DIM, guesses: int = 0, group_size: int = GROUP_SIZE
    ):
        super().__init__()
        self.label_noise, self.image_size = config.disc_c_noise, config.image_size
        self.base = config.discriminator_channel_base or config.channel_base
        self.most = config.discriminator_channel_max or config.channel_max
        self.sizes = self._add_blocks("b", self.image_size, self.image_channels)
        channels = block_channels(4, self.base, self.most)
        self.mapping = Mapping(z_dim=0, label_dim=label_dim, w_dim=channels, layers=MAPPING_LAYERS)
        self.b4 = DiscriminatorEpilogue(
            channels, label_dim=channels, clamp=CONV_CLAMP, guesses=guesses, group_size=group_size
        )  # fmt: skip
        if self.own_filter:
            self.register_buffer("resample_filter", binomial_filter())

    @property
    def group_size(self) -> int:
        """Images of a batch that are compared with each other."""
        return self.b4.group_size

    def forward(self, rendering: Judged, camera: Camera | Tensor, random: torch.Generator | None = None) -> DiscriminatorOutput:
        """A rendering, or a dict of images; a camera or its label [B,25]; `random` numbers for the label's noise."""
        images, label = judged(rendering, camera)
        return DiscriminatorOutput(logits=self.b4(self.features(images), self.mapping(None, self._noisy(label, random))))

    def features(self, images: dict[str, Tensor]) -> Tensor:
        """[B,C,4,4] before the last block."""
        return self._through("b", self.sizes, torch.cat([images["image"], resize(images["image_raw"], self.image_size)], dim=1))

    def _add_blocks(self, prefix: str, largest: int, image_channels: int) -> list[int]:
        """Blocks from `largest` down to 8, the first of which starts from an image; returns their sizes."""
        sizes = [largest >> step for step in range((largest // 4).bit_length() - 1)]
        for size in sizes:
            middle, outputs = (block_channels(side, self.base, self.most) for side in (size, size // 2))
            inputs = 0 if size == largest else middle
            block = DiscriminatorBlock(inputs, middle, outputs, image_channels=image_channels, clamp=CONV_CLAMP)
            self.add_module(f"{prefix}{size}", block)
        return sizes

    def _through(self, prefix: str, sizes: list[int], x: Tensor) -> Tensor:
        for size in sizes:
            x = self.get_submodule(f"{prefix}{size}")(x)
        return x

    def _noisy(self, label: Tensor, random: torch.Generator | None) -> Tensor:
        """label + disc_c_noise * std over the batch * N(0,1), on a copy; one sample has no deviation and stays as it is."""
        if self.label_noise == 0 or len(label) < 2:
            return label
        noise = torch.randn_like(label) if random is None else torch.randn(label.shape, generator=random).to(label)
        return label + self.label_noise * label.std(0) * noise


class MaskDiscriminator(DualDiscriminator):
    """PanoHead's: the mask is a seventh channel, so the outline of the head has to agree with its images."""

    image_channels = 7
    needs_mask = True

    def features(self, images: dict[str, Tensor]) -> Tensor:
        small = torch.cat([resize(images["image_raw"], self.image_size), resize(_mask_image(images), self.image_size)], dim=1)
        return self._through("b", self.sizes, torch.cat([images["image"], small], dim=1))


class MaskBranchDiscriminator(DualDiscriminator):
    """PanoHead's earlier one: blocks sb{mask size}..sb8 see the mask, their features are added before the last block."""

    needs_mask = True

    def __init__(self, config: DiscriminatorConfig, mask_size: int = MASK_SIZE):
        super().__init__(config)
        self.mask_size = mask_size
        self.mask_sizes = self._add_blocks("sb", mask_size, 1)

    def features(self, images: dict[str, Tensor]) -> Tensor:
        mask = resize(_mask_image(images), self.mask_size)
        return super().features(images) + self._through("sb", self.mask_sizes, mask)


def judged(rendering: Judged, camera: Camera | Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """A rendering or images as a dict of images, a camera or label as a label [B,25]."""
    images = _images(rendering) if isinstance(rendering, Rendering) else rendering
    return images, camera.label() if isinstance(camera, Camera) else camera


def _images(rendering: Rendering) -> dict[str, Tensor]:
    """A rendering as a dict of images; its mask is the first of its semantics."""
    images = {"image": rendering.image, "image_raw": rendering.raw}
    return images if rendering.semantics is None else {**images, "image_mask": rendering.semantics[:, :1]}


def _mask_image(images: dict[str, Tensor]) -> Tensor:
    """[B,1,h,h] the mask in [-1,1], the range of the images."""
    if "image_mask" not in images:
        raise ValueError("this discriminator judges a mask too: pass `image_mask` [B,1,h,h] in 0..1, or a rendering with one")
    return 2 * images["image_mask"] - 1
