"""Dual discriminator of EG3D (section 4.5; spec 1.13): judges the image and the raw image together, under its camera.

Notable choices:
- the raw image is resized to the image's size and stacked behind it, so super-resolution has to agree with the rays;
- it always sees the true camera, even when the generator does not; `disc_c_noise` blurs it against memorized poses;
- residual blocks b{size}..b8, then b4, with the official parameter names.
"""

import torch
from torch import Tensor, nn

from models.camera import Camera
from models.eg3d import LABEL_DIM, EG3DConfig
from models.generator import DiscriminatorOutput, Rendering
from models.stylegan2.discriminator import DiscriminatorBlock, DiscriminatorEpilogue
from models.stylegan2.mapping import Mapping
from models.stylegan2.resampling import binomial_filter, resize
from models.stylegan2.synthesis import block_channels

MAPPING_LAYERS = 8
CONV_CLAMP = 256.0


class DualDiscriminator(nn.Module):
    """image [B,3,H,H], raw [B,3,h,h] and camera -> logits [B,1], which depend on the batch through its deviation channel."""

    resample_filter: Tensor

    def __init__(self, config: EG3DConfig):
        super().__init__()
        self.label_noise, self.image_size = config.disc_c_noise, config.image_size
        most = config.discriminator_channel_max or config.channel_max

        def channels(size: int) -> int:
            return block_channels(size, config.channel_base, most)

        self.sizes = [config.image_size >> step for step in range((config.image_size // 4).bit_length() - 1)]
        for size in self.sizes:
            inputs = 0 if size == config.image_size else channels(size)
            block = DiscriminatorBlock(inputs, channels(size), channels(size // 2), image_channels=6, clamp=CONV_CLAMP)
            self.add_module(f"b{size}", block)
        self.mapping = Mapping(z_dim=0, label_dim=LABEL_DIM, w_dim=channels(4), layers=MAPPING_LAYERS)
        self.b4 = DiscriminatorEpilogue(channels(4), label_dim=channels(4), clamp=CONV_CLAMP)
        self.register_buffer("resample_filter", binomial_filter())

    def forward(self, rendering: Rendering | dict[str, Tensor], camera: Camera | Tensor) -> DiscriminatorOutput:
        """A rendering, or a dict of `image` and `image_raw`; a camera or its label [B,25]."""
        if isinstance(rendering, Rendering):
            image, raw = rendering.image, rendering.raw
        else:
            image, raw = rendering["image"], rendering["image_raw"]
        label = camera.label() if isinstance(camera, Camera) else camera
        x = torch.cat([image, resize(raw, self.image_size)], dim=1)
        for size in self.sizes:
            x = self.get_submodule(f"b{size}")(x)
        return DiscriminatorOutput(logits=self.b4(x, self.mapping(None, self._noisy(label))))

    def _noisy(self, label: Tensor) -> Tensor:
        """label + disc_c_noise * std over the batch * N(0,1), on a copy; one sample has no deviation and stays as it is."""
        if self.label_noise == 0 or len(label) < 2:
            return label
        return label + self.label_noise * label.std(0) * torch.randn_like(label)
