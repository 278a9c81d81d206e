"""A training step and what it draws from: data alone; pipelines.train.steps does the work."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.compute_mode import Compute
from models.generator import Generator
from pipelines.engine.distributed import ALONE, Processes
from pipelines.engine.keyed_random import keyed
from pipelines.engine.microbatches import LossSums
from pipelines.train.frames import Frames
from pipelines.train.ray_subset import foreground
from pipelines.train.remembered_views import Views
from pipelines.train.settings import FinetuneSettings
from pipelines.train.trainer import Trainer


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


@dataclass(kw_only=True)
class Step:
    """One step: it can be run again with other `settings` when memory ran out before the generator moved."""

    trainer: Trainer
    batches: Batches
    settings: FinetuneSettings
    steps: int
    """Of the whole training: schedules follow."""
    seed: int
    processes: Processes = ALONE
    losses: LossSums = field(default_factory=LossSums)
    judged: dict[str, float] = field(default_factory=dict)
    """Figures of the discriminator's step once it is made, which no second run repeats."""

    def figures(self) -> dict[str, float]:
        """The losses over the whole batch, the discriminator's in front of what it says about the generator."""
        own = self.losses.total(self.processes)
        after = {name: own.pop(name) for name in ("adversarial", *self.trainer.regularizers) if name in own}
        return own | self.judged | after

    def random(self, purpose: str) -> torch.Generator:
        return keyed(self.seed, self.trainer.step, purpose)

    @property
    def device(self) -> torch.device:
        return self.trainer.latents.device

    @property
    def compute(self) -> Compute:
        return Compute(recompute=self.settings.memory == "light")
