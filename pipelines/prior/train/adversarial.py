"""Adversarial training on any images with cameras (arXiv 2112.07945, section 5 and supplement; spec 1.14 and 1.15).

Four phases of an iteration, each with labels of its own: G against D, every 4th time the smoothness of its density, D on fakes
and real images, every 16th time the penalty R1 on its gradient. Adam's rates make up for the rare phases. Batches come in
micro-batches whose gradients add up, on one process or on several (pipelines.engine.distributed). Random numbers are keyed by
(seed, step, number of the micro-batch's first image in the batch, purpose): a resumed run equals an unbroken one, and which
process computes a micro-batch changes nothing. The mean latent and ADA's probability move once a step, by the whole batch.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from models.camera import Camera
from models.compute_mode import Compute
from models.families import Guide
from models.generator import Control, Discriminator, Generator, Network, Rendering, RenderSettings
from models.networks.stylegan2.resampling import blur, resize
from models.training import schedules
from models.training.augment import RELEASE, TARGET, Augmentation
from models.training.losses import generator_loss, r1_penalty
from models.training.regularizers import smooth_density
from pipelines.engine.checkpoint import Tree, load_optimizer, optimizer_tree
from pipelines.engine.distributed import ALONE, Processes
from pipelines.engine.keyed_random import keyed
from pipelines.prior.train.draws import Draw, normal_draw
from pipelines.prior.train.images import LabeledImages

DENSITY_EVERY, R1_EVERY = 4, 16
"""Iterations between the lazy phases, each multiplied by this number."""


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings:
    """The defaults are the paper's values for FFHQ."""

    kimg: float = 25_000.0
    """Thousands of real images shown."""
    batch: int = 32
    """Images an iteration."""
    micro_batch: int = 4
    """Images at once; gradients add up. The discriminator compares them in groups of up to 4, so this is part of the recipe and
    does not change with the number of processes. Where memory is short, rather set memory=light."""
    learning_rate: float = 0.0025
    """Of the generator, before the factor for its lazy phase."""
    discriminator_learning_rate: float = 0.002
    """Of the discriminator, before the factor for its lazy phase."""
    r1_gamma: float = 1.0
    """1 for FFHQ, 5 for unknown data."""
    density: float = 0.25
    """Weight of the density regularization."""
    density_distance: float = 0.004
    """Standard deviation of the distance of neighboring points, head units."""
    swap: float = 0.5
    """Share of generator labels that are another image's in the end. Only for generators that see a camera."""
    blur_fade_kimg: float = 200.0
    """Thousands of images over which the blur before the discriminator fades, at batch 32."""
    raw_start: int | None = None
    """Side of the raw image at first, growing to the configuration's over `raw_fade_kimg`; none: the full side at once."""
    raw_fade_kimg: float = 1000.0
    """Thousands of images over which the raw image grows."""
    ema_kimg: float | None = None
    """Half-life of the averaged weights; none: 10 * batch / 32."""
    augment: Literal["none", "fixed", "ada"] = "none"
    """Adaptive augmentation before the discriminator, for small data sets."""
    augment_p: float = 0.2
    """Probability where augment is fixed."""
    mirror: bool = False
    """Show every image mirrored too, its camera as well."""
    memory: Literal["fast", "light"] = "fast"
    """light: large activations are computed again in backward."""
    snapshot_kimg: float = 40.0
    """Thousands of images between checkpoints, each with a sample sheet and figures."""
    seed: int = 0
    """Of every random choice."""

    @property
    def iterations(self) -> int:
        return max(round(self.kimg * 1000 / self.batch), 1)


@dataclass(kw_only=True)
class Adversaries:
    """Everything an iteration changes."""

    generator: Generator
    discriminator: Discriminator
    average: Generator
    """Moving average of the generator: what is kept in the end."""
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    augmentation: Augmentation
    draw: Draw
    """Where z comes from."""
    guide: Guide | None = None
    """Who teaches what z means."""
    iteration: int = 0
    judge_average: Discriminator | None = None
    """Moving average of the discriminator, where it is wanted for what it says of a picture."""

    def tree(self) -> Tree:
        modules = self.networks() | {"augmentation": self.augmentation}
        optimizers = {"generator_optimizer": self.generator_optimizer, "discriminator_optimizer": self.discriminator_optimizer}
        states = {name: dict(module.state_dict()) for name, module in modules.items()}
        return states | {name: optimizer_tree(optimizer) for name, optimizer in optimizers.items()}

    def load(self, iteration: int, tree: Tree) -> None:
        self.iteration = iteration
        for name, network in (self.networks() | {"augmentation": self.augmentation}).items():
            network.load_state_dict(tree[name])
        load_optimizer(self.generator_optimizer, tree["generator_optimizer"])
        load_optimizer(self.discriminator_optimizer, tree["discriminator_optimizer"])

    def networks(self) -> dict[str, Any]:
        """The players and their averages by name."""
        named = {"generator": self.generator, "discriminator": self.discriminator, "average": self.average}
        return named if self.judge_average is None else named | {"judge_average": self.judge_average}


def make_adversaries(
    generator: Generator, discriminator: Discriminator, settings: AdversarialSettings, draw: Draw | None = None
) -> Adversaries:
    """`draw`: where z comes from, else normal numbers."""
    rate, betas = schedules.lazy_adam(settings.learning_rate, (0.0, 0.99), DENSITY_EVERY)
    adversary_rate, adversary_betas = schedules.lazy_adam(settings.discriminator_learning_rate, (0.0, 0.99), R1_EVERY)
    p, target = (settings.augment_p if settings.augment == "fixed" else 0.0), TARGET if settings.augment == "ada" else None
    return Adversaries(
        generator=generator, discriminator=discriminator, average=copy.deepcopy(generator).eval().requires_grad_(False),
        generator_optimizer=torch.optim.Adam(generator.parameters(), lr=rate, betas=betas),
        discriminator_optimizer=torch.optim.Adam(discriminator.parameters(), lr=adversary_rate, betas=adversary_betas),
        augmentation=Augmentation(RELEASE, p=p, target=target), draw=draw or normal_draw(generator.latent.z_dim),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Iteration:
    """One iteration: the numbers of the schedules at its start, and its draws."""

    players: Adversaries
    images: LabeledImages
    settings: AdversarialSettings
    processes: Processes = ALONE
    tally: list[Tensor] = field(default_factory=list)
    """A micro-batch of the discriminator's phase each: sum of w [w_dim], then sum of the signs of D(real)."""

    @property
    def device(self) -> str:
        return self.processes.device

    @property
    def seen(self) -> int:
        """Images shown before."""
        return self.players.iteration * self.settings.batch

    @property
    def sigma(self) -> float:
        return schedules.blur_sigma(self.seen, self.settings.batch, fade_kimg=self.settings.blur_fade_kimg)

    def run(self) -> dict[str, float]:
        players, settings = self.players, self.settings
        figures = {"G": self.phase(players.generator, players.generator_optimizer, self.against)}
        if settings.density > 0 and players.iteration % DENSITY_EVERY == 0:
            figures["density"] = self.phase(players.generator, players.generator_optimizer, self.smooth)
        figures["D"] = self.phase(players.discriminator, players.discriminator_optimizer, self.judge)
        self.follow()
        if settings.r1_gamma > 0 and players.iteration % R1_EVERY == 0:
            figures["R1"] = self.phase(players.discriminator, players.discriminator_optimizer, self.penalize)
        players.iteration += 1
        half_life = (settings.ema_kimg or schedules.ema_half_life(settings.batch) / 1000) * 1000
        average(players, schedules.ema_decay(settings.batch, half_life, seen=self.seen))
        return figures | {"p": float(players.augmentation.p), "sigma": self.sigma}

    def phase(self, network: Network, optimizer: torch.optim.Optimizer, loss: Callable[[int, int], Tensor]) -> float:
        """One step of one network on the mean loss of the batch, every process its micro-batches."""
        other = self.players.discriminator if network is self.players.generator else self.players.generator
        self.free(network)
        other.requires_grad_(False)
        optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for first, count in self.processes.mine(self.pieces()):
            torch.manual_seed(self.random(f"noise {loss.__name__} {first}").initial_seed())
            value = loss(first, count) * (count / self.settings.batch)
            value.backward()
            total += value.detach()
        self.processes.add(total, *(one.grad for one in network.parameters() if one.grad is not None))
        schedules.clean_gradients(network.parameters())
        optimizer.step()
        return float(total)

    def free(self, network: Network) -> None:
        """Lets the parameters of a network learn."""
        network.requires_grad_(True)

    def follow(self) -> None:
        """The mean latent and the augmentation's probability, by the whole batch."""
        total = torch.stack(self.tally).sum(0)
        self.tally.clear()
        self.processes.add(total)
        self.players.generator.track(total[None, :-1] / self.settings.batch)
        self.players.augmentation.note(float(total[-1]), self.settings.batch)

    def random(self, purpose: str) -> torch.Generator:
        return keyed(self.settings.seed, self.players.iteration, purpose)

    def pieces(self) -> Iterator[tuple[int, int]]:
        batch, piece = self.settings.batch, self.settings.micro_batch
        return ((first, min(piece, batch - first)) for first in range(0, batch, piece))

    def against(self, first: int, count: int) -> Tensor:
        """softplus(-D(G(z))), and what a guide teaches."""
        z, condition, labels = self.drawn("G", first, count)
        generator, guide = self.players.generator, self.players.guide
        fake = self.shown(generator.mapping(z, condition), labels, f"G {first}")
        loss = generator_loss(self.logits(fake.image, fake.raw, labels, f"G {first}"))
        if guide is None:
            return loss
        share = self.players.iteration / self.settings.iterations
        return loss + guide(generator, fake, z=z, condition=condition, camera=Camera.from_label(labels), share=share)

    def smooth(self, first: int, count: int) -> Tensor:
        """Mean difference of the density at points of the cube of side 2 and their neighbors."""
        ws, _ = self.latents("density", first, count, together=True)
        scene = self.players.generator.prepare(Control(ws=ws), noise="random", compute=self.compute)
        random, distance = self.random(f"points {first}"), self.settings.density_distance
        return DENSITY_EVERY * self.settings.density * smooth_density(scene, random, distance=distance, side=2.0)

    def judge(self, first: int, count: int) -> Tensor:
        """softplus(D(fake)) + softplus(-D(real)), with notes for `follow`."""
        with torch.no_grad():
            ws, labels = self.latents("D", first, count)
            fake = self.shown(ws, labels, f"D {first}")
        loss = generator_loss(-self.logits(fake.image, fake.raw, labels, f"fake {first}"))
        image, raw, labels = self.real("D", first, count)
        logits = self.logits(image, blur(raw, self.sigma), labels, f"real {first}")
        self.tally.append(torch.cat([ws[:, 0].sum(0), logits.detach().sign().sum(0)]))
        return loss + generator_loss(logits)

    def penalize(self, first: int, count: int) -> Tensor:
        """gamma / 2 of the squared gradient at real images, before blur and augmentation."""
        image, raw, labels = self.real("R1", first, count)
        image, raw = image.requires_grad_(), raw.requires_grad_()
        logits = self.logits(image, blur(raw, self.sigma), labels, f"R1 {first}")
        return R1_EVERY * self.settings.r1_gamma / 2 * r1_penalty(logits, image, raw).mean()

    def logits(self, image: Tensor, raw: Tensor, labels: Tensor, purpose: str) -> Tensor:
        """D of the blurred and augmented image; labels stay as they are."""
        image, raw = self.players.augmentation(blur(image, self.sigma), raw, self.random(f"augment {purpose}"))
        return self.players.discriminator({"image": image, "image_raw": raw}, labels).logits

    def latents(self, phase: str, first: int, count: int, together: bool = False) -> tuple[Tensor, Tensor]:
        """ws of fresh z, and the labels of random images under which they are shown."""
        z, condition, labels = self.drawn(phase, first, count, together)
        return self.players.generator.mapping(z, condition), labels

    def drawn(self, phase: str, first: int, count: int, together: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Fresh z, the labels that the mapping sees and those of random images under which they are shown; `together`: one
        coin for the batch."""
        random = self.random(f"{phase} {first}")
        z = self.players.draw(count, random).to(self.device)
        numbers = torch.randint(len(self.images), (count,), generator=random).tolist()
        labels = torch.stack([self.images.label(number) for number in numbers]).to(self.device)
        share = schedules.swap_probability(self.seen, self.settings.swap)
        coin = self.random(f"{phase} coin") if together else random
        return z, schedules.swapped(labels, share, coin, together), labels

    def shown(self, ws: Tensor, labels: Tensor, purpose: str) -> Rendering:
        """Rendered with random depths, which are drawn where they are needed: there are millions of them."""
        generator = self.players.generator
        scene = generator.prepare(Control(ws=ws), noise="random", compute=self.compute)
        return generator.render(scene, Camera.from_label(labels), self.how(purpose))

    def how(self, purpose: str) -> RenderSettings:
        random = torch.Generator(self.device).manual_seed(self.random(f"rays {purpose}").initial_seed())
        sampling = replace(self.players.generator.config.sampling("random"), generator=random)
        return RenderSettings(sampling=sampling, raw_size=self.raw_size, compute=self.compute)

    def real(self, phase: str, first: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images in the order of shuffled rounds through the data, their raw size, and labels."""
        numbers = [draw(self.images, self.seen + first + number, f"{self.settings.seed} {phase}") for number in range(count)]
        image, labels = self.images.batch(numbers, self.players.generator.image_size)
        image = image.to(self.device)
        return image, resize(image, self.raw_size), labels.to(self.device)

    @property
    def raw_size(self) -> int:
        final, start = self.players.generator.raw_size, self.settings.raw_start
        return final if start is None else schedules.raw_resolution(self.seen, start, final, self.settings.raw_fade_kimg)

    @property
    def compute(self) -> Compute:
        return Compute(recompute=self.settings.memory == "light")


def draw(images: LabeledImages, position: int, purpose: str) -> int:
    """The image shown at `position` of an endless stream: round after round, each in an order of its own."""
    number, place = divmod(position, len(images))
    return int(_order(len(images), number, purpose)[place])


@lru_cache(maxsize=4)
def _order(count: int, number: int, purpose: str) -> Tensor:
    return torch.randperm(count, generator=keyed(0, number, purpose))


@torch.no_grad()
def average(players: Adversaries, beta: float) -> None:
    """Parameters of the averages move by 1 - beta towards the players'; buffers are copied."""
    for moving, network in ((players.average, players.generator), (players.judge_average, players.discriminator)):
        if moving is None:
            continue
        for kept, now in zip(moving.parameters(), network.parameters(), strict=True):
            kept.copy_(now.lerp(kept, beta))
        for kept, now in zip(moving.buffers(), network.buffers(), strict=True):
            kept.copy_(now)
