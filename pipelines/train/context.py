"""What a training step draws from."""

import torch
from torch import Tensor

from models.generator import Generator
from pipelines.train.frames import Frames
from pipelines.train.ray_subset import foreground
from pipelines.train.remembered_views import Views
from pipelines.train.settings import FinetuneSettings


class Batches:
    """Frames on the device, with the raw-size truth and ray masks computed once."""

    def __init__(self, frames: Frames, generator: Generator, settings: FinetuneSettings, remembered: Views | None = None):
        self.frames = frames
        self.remembered = remembered if settings.remembered > 0 else None
        self.raw_size = generator.raw_size
        self.raw_image, self.raw_alpha, self.raw_inside, self.raw_detail = frames.raw(self.raw_size)
        self.foreground = foreground(self.raw_alpha)
        self.sampling_weights = frames.weight.cpu().clamp(min=1e-3)
        if frames.rarity is not None:
            self.sampling_weights = self.sampling_weights * frames.rarity**settings.balance
        self.background_rays = settings.background_rays

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Frame numbers [count], by confidence and rarity, without repetition where there are enough frames."""
        return torch.multinomial(self.sampling_weights, count, replacement=count > len(self.sampling_weights), generator=random)
