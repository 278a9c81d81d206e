"""What fine-tuning changes: the networks, the frames' latents, their optimizers and averages."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.camera import Camera
from models.compute_mode import EXACT, Compute
from models.families import FAMILIES, Judge, Regularizer
from models.generator import Control, Generator, Rendering, RenderSettings, Role, Scene
from models.heads.expression_map import broadcast
from models.training.augment import PERSON, TARGET, Augmentation
from models.training.schedules import ema_decay, lazy_adam
from pipelines.engine.checkpoint import Tree, load_optimizer, optimizer_tree
from pipelines.engine.judges import load_states, parameters_of, states_of
from pipelines.engine.keyed_random import keyed
from pipelines.train.frames import Frames
from pipelines.train.latent_init import initial_codes
from pipelines.train.latent_subspace import has_room
from pipelines.train.settings import FinetuneSettings

LOOKED_UP: tuple[Role, ...] = ("free_volume", "texture")
"""Roles with learning rates of their own."""
Rate = tuple[float, tuple[float, float]]
"""Learning rate and betas of Adam."""
REGULARIZED_EVERY = 4
"""Steps between the family's regularizers, each multiplied by this number."""


@dataclass(kw_only=True)
class Trainer:
    """Everything a step changes."""

    generator: Generator
    judges: Mapping[str, Judge]
    regularizers: Mapping[str, Regularizer]
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
    frozen: Tensor | None = None
    """The backbone's share of every scene (Generator.backbone_share), where the backbone is held."""
    step: int = 0

    def scene(self, latents: Tensor, compute: Compute = EXACT) -> Scene:
        """Of w [B,w_dim] or ws [B,num_ws,w_dim]."""
        ws = latents if latents.ndim == 3 else broadcast(latents, self.generator.latent.num_ws)
        return self.generator.prepare(Control(ws=ws), frozen=self.frozen, compute=compute)

    @torch.no_grad()
    def keep(self) -> None:
        """Undo what a step did to latents outside the room."""
        if self.kept_in is not None:
            person, room = self.kept_in
            self.latents.copy_(person + (self.latents - person) @ room.T @ room)

    def tree(self) -> Tree:
        return {
            "generator": self.generator.state_dict(), "discriminators": states_of(self.judges),
            "latents": {"w": self.latents.data}, "average": self.average, "augmentation": self.augmentation.state_dict(),
            "generator_optimizer": optimizer_tree(self.generator_optimizer),
            "discriminator_optimizer": optimizer_tree(self.discriminator_optimizer),
        }  # fmt: skip

    def load(self, step: int, tree: Tree) -> None:
        self.step = step
        self.generator.load_state_dict(tree["generator"])
        load_states(self.judges, discriminators_in(tree), "the checkpoint")
        self.latents.data.copy_(tree["latents"]["w"])
        self.average = tree["average"]
        if "augmentation" in tree:  # checkpoints of earlier versions have none
            self.augmentation.load_state_dict(tree["augmentation"])
        load_optimizer(self.generator_optimizer, tree["generator_optimizer"])
        load_optimizer(self.discriminator_optimizer, tree.get("discriminator_optimizer", {}))


def discriminators_in(tree: Tree) -> Mapping[str, Tree]:
    """The discriminators' states in a checkpoint; earlier versions had one, which judged the whole image."""
    return {"image": tree["discriminator"]} if "discriminator" in tree else tree["discriminators"]


def make_trainer(
    generator: Generator, judges: Mapping[str, Judge], frames: Frames, settings: FinetuneSettings, seed: int,
    start: Tensor | None = None, room: Tensor | None = None,
) -> Trainer:  # fmt: skip
    """Latents start at `start` [w_dim], else the generator's mean w, spread by what tells the frames apart.

    The spread (pipelines.train.latent_init) is random in what it does, or stays in the `room` [K,w_dim] that was made for it
    (pipelines.train.latent_subspace); there the backbone can be held. Free planes have a learning rate of their own.
    """
    kept_in, frozen = None, None
    if start is not None and room is not None and settings.backbone == "held" and has_room(generator):
        kept_in, frozen = (start, room), freeze_backbone(generator, start)
    mean = generator.mean_latent.detach() if start is None else start
    codes = initial_codes(
        frames, generator.latent.w_dim, settings.components, settings.latent_spread, keyed(seed, 0, "latents"), room
    )
    latents = nn.Parameter(mean + codes)
    (rate, betas), (judge_rate, judge_betas) = _rates(settings)
    groups = [
        {"params": parameters, "lr": rate_of_role, **more}
        for parameters, rate_of_role, more in (
            (learned_in_layers(generator), rate, {}),
            (learned_of(generator, "free_volume"), settings.planes_learning_rate, {}),
            (learned_of(generator, "texture"), settings.paint_learning_rate, {"weight_decay": settings.paint_decay}),
            ([latents], settings.latent_learning_rate, {}),
        )
        if parameters
    ]
    trainer = Trainer(
        generator=generator, judges=judges, regularizers=FAMILIES[generator.family].regularizers, latents=latents,
        generator_optimizer=torch.optim.Adam(groups, betas=betas, fused=True),
        discriminator_optimizer=torch.optim.Adam(parameters_of(judges), lr=judge_rate, betas=judge_betas, fused=True),
        augmentation=_augmentation(settings), average={}, kept_in=kept_in, frozen=frozen,
    )  # fmt: skip
    trainer.average = _averaged(trainer)
    for group in trainer.generator_optimizer.param_groups:
        group["base_lr"] = group["lr"]
    return trainer


def render_latents(trainer: Trainer, latents: Tensor, camera: Camera, how: RenderSettings) -> Rendering:
    """What B cameras see of the heads of w [B,w_dim] or ws [B,num_ws,w_dim]."""
    return trainer.generator.render(trainer.scene(latents, how.compute), camera, how)


def freeze_backbone(generator: Generator, person: Tensor) -> Tensor:
    """The backbone's share of every scene from now on, that of `person` [w_dim]; its parameters learn no longer."""
    for parameter in generator.groups()["backbone"]:
        parameter.requires_grad_(False)
    return generator.backbone_share(broadcast(person[None], generator.latent.num_ws))


def learned_in_layers(generator: Generator) -> list[nn.Parameter]:
    """Parameters with gradients of all roles but those that are looked up, in the order of the network."""
    looked_up = {id(parameter) for role in LOOKED_UP for parameter in generator.groups().get(role, [])}
    return [parameter for parameter in generator.parameters() if parameter.requires_grad and id(parameter) not in looked_up]


def learned_of(generator: Generator, role: Role) -> list[nn.Parameter]:
    """The parameters of a role that have gradients."""
    return [parameter for parameter in generator.groups().get(role, []) if parameter.requires_grad]


def _rates(settings: FinetuneSettings) -> tuple[Rate, Rate]:
    """Of the generator's networks and the discriminator; purely adversarial training has the paper's."""
    generator, discriminator = settings.learning_rate, (settings.discriminator_learning_rate, (0.0, 0.99))
    if settings.photometric > 0:
        return (generator, (0.9, 0.99)), discriminator
    lazy = (generator, (0.0, 0.99)) if settings.density == 0 else lazy_adam(generator, (0.0, 0.99), REGULARIZED_EVERY)
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
    """Averaged weights, with a ramp-up (models.training.schedules)."""
    beta = ema_decay(settings.batch, settings.ema_images, seen=trainer.step * settings.batch)
    for name, value in trainer.generator.state_dict().items():
        kept = trainer.average["generator"][name]
        kept.lerp_(value, 1 - beta) if value.is_floating_point() else kept.copy_(value)
    trainer.average["latents"]["w"].lerp_(trainer.latents.detach(), 1 - beta)


def averaged_generator(trainer: Trainer) -> Generator:
    """A copy of the generator with the averaged weights, in eval mode."""
    generator = copy.deepcopy(trainer.generator)
    generator.load_state_dict(trainer.average["generator"])
    return generator.eval().requires_grad_(False)
