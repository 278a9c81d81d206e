"""What fine-tuning changes: the networks, the frames' latents, their optimizers and averages."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.eg3d.generator import EG3D
from models.heads.expression_map import broadcast
from models.networks.dual_discriminator import DualDiscriminator
from models.training.augment import PERSON, TARGET, Augmentation
from models.training.schedules import ema_decay, lazy_adam
from pipelines.engine.checkpoint import Tree, load_optimizer, optimizer_tree
from pipelines.engine.keyed_random import keyed
from pipelines.train.frames import Frames
from pipelines.train.latent_init import initial_codes
from pipelines.train.settings import FinetuneSettings

FREE_PLANES = ("static_planes", "basis_planes", "back_plane")
"""Parameters of the generator that are looked up, not multiplied: they bear a higher learning rate."""
PAINTED = ("paint.fixed", "paint.moving")
"""Such that are colors, with a rate of their own."""
Rate = tuple[float, tuple[float, float]]
"""Learning rate and betas of Adam."""
DENSITY_EVERY = 4
"""Steps between density regularizations, each multiplied by this number."""


@dataclass(kw_only=True)
class Trainer:
    """Everything a step changes."""

    generator: EG3D
    discriminator: DualDiscriminator
    latents: nn.Parameter
    """[N,w_dim], one a training frame."""
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    augmentation: Augmentation
    """In front of the discriminator; stays on the CPU."""
    average: Tree
    """Exponential moving average of the generator's state and the latents."""
    kept_in: tuple[Tensor, Tensor] | None = None
    """A latent [w_dim] and directions [K,w_dim]: latents stay where they differ from it along these alone."""
    step: int = 0

    @torch.no_grad()
    def keep(self) -> None:
        """Undo what a step did to latents outside the room."""
        if self.kept_in is not None:
            person, room = self.kept_in
            self.latents.copy_(person + (self.latents - person) @ room.T @ room)

    def tree(self) -> Tree:
        return {
            "generator": self.generator.state_dict(), "discriminator": self.discriminator.state_dict(),
            "latents": {"w": self.latents.data}, "average": self.average, "augmentation": self.augmentation.state_dict(),
            "generator_optimizer": optimizer_tree(self.generator_optimizer),
            "discriminator_optimizer": optimizer_tree(self.discriminator_optimizer),
        }  # fmt: skip

    def load(self, step: int, tree: Tree) -> None:
        self.step = step
        self.generator.load_state_dict(tree["generator"])
        self.discriminator.load_state_dict(tree["discriminator"])
        self.latents.data.copy_(tree["latents"]["w"])
        self.average = tree["average"]
        if "augmentation" in tree:  # checkpoints of earlier versions have none
            self.augmentation.load_state_dict(tree["augmentation"])
        load_optimizer(self.generator_optimizer, tree["generator_optimizer"])
        load_optimizer(self.discriminator_optimizer, tree.get("discriminator_optimizer", {}))


def make_trainer(
    generator: EG3D, discriminator: DualDiscriminator, frames: Frames, settings: FinetuneSettings, seed: int,
    start: Tensor | None = None, room: Tensor | None = None,
) -> Trainer:  # fmt: skip
    """Latents start at `start` [w_dim], else the generator's mean w, spread by what tells the frames apart.

    The spread (pipelines.train.latent_init) is random in what it does, or stays in the `room` [K,w_dim] that was made for it
    (pipelines.train.latent_subspace); there the backbone can be held. Free planes have a learning rate of their own.
    """
    kept_in = None
    if start is not None and room is not None and settings.backbone == "held":
        kept_in = start, room
        generator.backbone.synthesis.requires_grad_(False)
        generator.hold(broadcast(start[None], generator.latent.num_ws))
    mean = generator.backbone.mapping.w_avg.detach() if start is None else start
    codes = initial_codes(
        frames, generator.latent.w_dim, settings.components, settings.latent_spread, keyed(seed, 0, "latents"), room
    )
    latents = nn.Parameter(mean + codes)
    learned = [(name, parameter) for name, parameter in generator.named_parameters() if parameter.requires_grad]
    planes = [parameter for name, parameter in learned if name in FREE_PLANES]
    paint = [parameter for name, parameter in learned if name in PAINTED]
    others = [parameter for name, parameter in learned if name not in (*FREE_PLANES, *PAINTED)]
    (rate, betas), (adversary_rate, adversary_betas) = _rates(settings)
    groups = [
        {"params": others, "lr": rate}, {"params": planes, "lr": settings.planes_learning_rate},
        {"params": paint, "lr": settings.paint_learning_rate, "weight_decay": settings.paint_decay},
        {"params": [latents], "lr": settings.latent_learning_rate},
    ]  # fmt: skip
    trainer = Trainer(
        generator=generator, discriminator=discriminator, latents=latents,
        generator_optimizer=torch.optim.Adam([group for group in groups if group["params"]], betas=betas, fused=True),
        discriminator_optimizer=torch.optim.Adam(
            discriminator.parameters(), lr=adversary_rate, betas=adversary_betas, fused=True
        ),
        augmentation=_augmentation(settings), average={}, kept_in=kept_in,
    )  # fmt: skip
    trainer.average = _averaged(trainer)
    for group in trainer.generator_optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return trainer


def _rates(settings: FinetuneSettings) -> tuple[Rate, Rate]:
    """Of the generator's networks and the discriminator; purely adversarial training has the paper's."""
    generator, discriminator = settings.learning_rate, (settings.discriminator_learning_rate, (0.0, 0.99))
    if settings.photometric > 0:
        return (generator, (0.9, 0.99)), discriminator
    lazy = (generator, (0.0, 0.99)) if settings.density == 0 else lazy_adam(generator, (0.0, 0.99), DENSITY_EVERY)
    return lazy, lazy_adam(*discriminator, settings.r1_every)


def _augmentation(settings: FinetuneSettings) -> Augmentation:
    if settings.augment == "ada":
        return Augmentation(PERSON, target=TARGET, images=settings.augment_images)
    return Augmentation(PERSON, p=settings.augment_p if settings.augment == "fixed" else 0.0)


def set_learning_rate(trainer: Trainer, settings: FinetuneSettings, done: float) -> None:
    """Full for the first half, then a cosine to `final_rate` (falling from the start cost 0.6 dB held out)."""
    cosine = 0.5 * (1 + math.cos(math.pi * max(done - 0.5, 0.0) / 0.5))
    factor = settings.final_rate + (1 - settings.final_rate) * cosine
    for group in trainer.generator_optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def _averaged(trainer: Trainer) -> Tree:
    state = {name: value.detach().clone() for name, value in trainer.generator.state_dict().items()}
    return {"generator": state, "latents": {"w": trainer.latents.detach().clone()}}


def update_average(trainer: Trainer, settings: FinetuneSettings) -> None:
    """Averaged weights with EG3D's ramp-up."""
    beta = ema_decay(settings.batch, settings.ema_images, seen=trainer.step * settings.batch)
    for name, value in trainer.generator.state_dict().items():
        kept = trainer.average["generator"][name]
        kept.lerp_(value, 1 - beta) if value.is_floating_point() else kept.copy_(value)
    trainer.average["latents"]["w"].lerp_(trainer.latents.detach(), 1 - beta)


def averaged_generator(trainer: Trainer) -> EG3D:
    """A copy of the generator with the averaged weights, in eval mode."""
    generator = copy.deepcopy(trainer.generator)
    generator.load_state_dict(trainer.average["generator"])
    return generator.eval().requires_grad_(False)
