"""Appearance: one person's generator, from images and cameras only (GAN-Avatar section 3.1).

Two terms share the generator. Photometric: frame i has a free latent w_i (an auto-decoder), rendered under its own camera and
compared with the frame; only rays that may hit the head, and some background, are marched. Adversarial: latents under other
frames' cameras against real frames, R1 on the discriminator. No expression of a training frame is looked at.

Every random number is keyed by (seed, step, purpose), so a resumed run equals an unbroken one.
"""

import copy
import json
import math
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.augment import PERSON, TARGET, Augmentation
from models.camera import Camera
from models.compositing import over
from models.compute import EXACT, Compute
from models.discriminators import DualDiscriminator
from models.eg3d import EG3D
from models.expression_map import broadcast
from models.generator import Rendering
from models.losses import density_smoothness, discriminator_loss, generator_loss, r1_penalty
from models.photometric import color_loss, gradient_loss, weighted_mean
from models.sampling import Sampling
from models.schedules import clean_gradients, ema_decay, lazy_adam, r1_gamma
from pipelines.stage import Progress
from pipelines.train.checkpoint import Tree, load_checkpoint, load_optimizer, optimizer_tree, save_checkpoint
from pipelines.train.codes import initial_codes
from pipelines.train.frames import GRAY, Frames, choose_rays, foreground
from pipelines.train.settings import FinetuneSettings

if TYPE_CHECKING:
    from pipelines.train.start import Views

FREE_PLANES = ("static_planes", "basis_planes")
"""Parameters of the generator that are looked up, not multiplied: they bear a higher learning rate."""
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
    step: int = 0

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
    start: Tensor | None = None,
) -> Trainer:  # fmt: skip
    """Latents start as given [N,w_dim], else around the generator's mean w (pipelines.train.codes).

    Static planes have a learning rate of their own.
    """
    if start is None:
        mean = generator.backbone.mapping.w_avg.detach()
        start = mean + initial_codes(frames, len(mean), settings.components, settings.latent_spread, keyed(seed, 0, "latents"))
    latents = nn.Parameter(start.clone())
    planes = [parameter for name, parameter in generator.named_parameters() if name in FREE_PLANES]
    others = [parameter for name, parameter in generator.named_parameters() if name not in FREE_PLANES]
    (rate, betas), (adversary_rate, adversary_betas) = _rates(settings)
    groups = [
        {"params": others, "lr": rate}, {"params": planes, "lr": settings.planes_learning_rate},
        {"params": [latents], "lr": settings.latent_learning_rate},
    ]  # fmt: skip
    trainer = Trainer(
        generator=generator, discriminator=discriminator, latents=latents,
        generator_optimizer=torch.optim.Adam([group for group in groups if group["params"]], betas=betas),
        discriminator_optimizer=torch.optim.Adam(discriminator.parameters(), lr=adversary_rate, betas=adversary_betas),
        augmentation=_augmentation(settings), average={},
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


def finetune(
    trainer: Trainer, batches: "Batches", settings: FinetuneSettings, *, steps: int, seed: int, folder: Path,
    progress: Progress, probe: Callable[[Trainer], dict[str, float]],
) -> None:  # fmt: skip
    """Run `trainer` to `steps`, continuing from `folder/checkpoint.safetensors`, writing checkpoints and `train_log.jsonl`."""
    checkpoint, log = folder / "checkpoint.safetensors", folder / "train_log.jsonl"
    if checkpoint.exists():
        trainer.load(*load_checkpoint(checkpoint, str(trainer.latents.device)))
    _cut_log(log, trainer.step)
    start = time.perf_counter()
    with progress.task("appearance", steps) as task:
        task.advance(trainer.step)
        while trainer.step < steps:
            figures = train_step(trainer, batches, settings, steps=steps, seed=seed)
            task.advance()
            if trainer.step % settings.checkpoint_every == 0 or trainer.step == steps:
                figures |= probe(trainer)
                save_checkpoint(checkpoint, trainer.step, trainer.tree())
                task.note(", ".join(f"{name} {value:.3g}" for name, value in figures.items()))
            if trainer.step % 10 == 0 or trainer.step == steps:
                _append(log, {"step": trainer.step, "seconds": round(time.perf_counter() - start, 2), **figures})


class Batches:
    """Frames on the device, with the raw-size truth and ray masks computed once."""

    def __init__(self, frames: Frames, generator: EG3D, settings: FinetuneSettings, remembered: "Views | None" = None):
        self.frames = frames
        self.remembered = remembered if settings.remembered > 0 else None
        self.raw_size = generator.config.neural_rendering_resolution
        self.raw_image, self.raw_alpha, self.raw_inside, self.raw_detail = frames.raw(self.raw_size)
        self.foreground = foreground(self.raw_alpha)
        self.odds = frames.weight.cpu().clamp(min=1e-3)
        self.background_rays = settings.background_rays

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Frame numbers [count], by confidence, without repetition where there are enough frames."""
        return torch.multinomial(self.odds, count, replacement=count > len(self.odds), generator=random)


def train_step(trainer: Trainer, batches: Batches, settings: FinetuneSettings, *, steps: int, seed: int) -> dict[str, float]:
    """One optimizer step of the generator, and one of the discriminator when it is its turn."""
    step = trainer.step
    _set_learning_rate(trainer, settings, step / steps)
    trainer.generator_optimizer.zero_grad(set_to_none=True)
    figures: dict[str, float] = {}
    if settings.photometric > 0:
        figures |= photometric_step(trainer, batches, settings, keyed(seed, step, "photometric"))
    if settings.adversarial > 0 and step >= settings.adversarial_from * steps and step % settings.adversarial_every == 0:
        figures |= adversarial_step(trainer, batches, settings, keyed(seed, step, "adversarial"))
    if settings.density > 0 and step % DENSITY_EVERY == 0:
        figures |= density_step(trainer, settings, keyed(seed, step, "density"))
    clean_gradients(trainer.generator.parameters())
    trainer.generator_optimizer.step()
    trainer.step += 1
    _update_average(trainer, settings)
    return figures


def photometric_step(
    trainer: Trainer, batches: Batches, settings: FinetuneSettings, random: torch.Generator
) -> dict[str, float]:
    """Fitted latents under their own cameras against their own frames; gradients are added, nothing is stepped."""
    chosen = batches.draw(settings.batch, random)
    frames, generator = batches.frames, trainer.generator
    rays = choose_rays(batches.foreground[chosen], batches.raw_inside[chosen], batches.background_rays, random)
    w = trainer.latents[chosen]
    camera, how = frames.camera[chosen], sampling(settings, random)
    rendering = render_chosen(generator, w, camera, rays, how, batches.raw_size, compute_of(settings))
    known = batches.raw_inside[chosen] * marched_of(rays, batches.raw_size)
    raw = color_loss(rendering.raw, batches.raw_image[chosen], known * (1 + settings.detail * batches.raw_detail[chosen]))
    matte = weighted_mean((rendering.alpha - batches.raw_alpha[chosen]).abs(), known)
    weight = frames.inside[chosen] * (1 + settings.detail * frames.detail[chosen])
    image = color_loss(rendering.image, frames.image[chosen], weight)
    edges = gradient_loss(rendering.image, frames.image[chosen], weight)
    photometric = raw + settings.alpha * matte + settings.image * image + settings.gradient * edges
    latent = settings.latent_prior * (w - trainer.latents.mean(0)).square().mean() + settings.latent_smoothness * roughness(
        trainer.latents
    )
    (settings.photometric * photometric + latent).backward()
    figures = figures_of(raw=raw, matte=matte, image=image, edges=edges)
    if batches.remembered is not None and trainer.step % settings.remember_every == 0:
        figures |= remembering_step(trainer, batches.remembered, settings, random)
    return figures


def remembering_step(trainer: Trainer, views: "Views", settings: FinetuneSettings, random: torch.Generator) -> dict[str, float]:
    """The mean latent from a side that was never filmed against what the prior showed there; gradients are added."""
    chosen = torch.randint(len(views.raw), (settings.remember_batch,), generator=random)
    size, raw, alpha = views.raw.shape[-1], views.raw[chosen], views.alpha[chosen]
    rays = choose_rays(foreground(alpha), torch.ones_like(alpha), settings.background_rays, random)
    ws = broadcast(trainer.latents.detach().mean(0, keepdim=True).expand(len(chosen), -1), trainer.generator.latent.num_ws)
    how, camera = sampling(settings, random), views.camera[chosen]
    features, _, opaque = march_chosen(trainer.generator, ws, camera, rays, how, size, compute_of(settings))
    marched = marched_of(rays, size)
    color = color_loss(over(features[:, :3], opaque, _gray(opaque)), raw, marched)
    loss = color + weighted_mean((opaque - alpha).abs(), marched)
    (settings.remember_every * settings.remembered * loss).backward()
    return figures_of(remembered=loss)


def render_chosen(
    generator: EG3D, w: Tensor, camera: Camera, rays: Tensor, how: Sampling, size: int, compute: Compute = EXACT
) -> Rendering:
    """March only the ray numbers [B,K]; the others are empty. Images over mid gray."""
    ws = broadcast(w, generator.latent.num_ws)
    features, depth, alpha = march_chosen(generator, ws, camera, rays, how, size, compute)
    image = over(generator.super_resolve(features, ws, compute), alpha, _gray(alpha))
    return Rendering(image=image, raw=over(features[:, :3], alpha, _gray(alpha)), depth=depth, alpha=alpha)


def march_chosen(
    generator: EG3D, ws: Tensor, camera: Camera, rays: Tensor, how: Sampling, size: int, compute: Compute = EXACT
) -> tuple[Tensor, Tensor, Tensor]:
    """Features [B,C,size,size], depth and alpha [B,1,size,size] of the ray numbers [B,K]; the others are empty."""
    planes = generator.planes(ws, compute=compute)
    take = rays[..., None].expand(-1, -1, 3)
    chosen = (value.gather(1, take) for value in camera.rays(size))
    rendered = generator.render_rays(planes, *chosen, sampling=how, compute=compute)

    def whole(values: Tensor, empty: float) -> Tensor:
        full = values.new_full((len(values), size * size, values.shape[2]), empty)
        full = full.scatter(1, rays[..., None].expand_as(values), values)
        return full.transpose(1, 2).reshape(len(values), -1, size, size)

    features, depth, alpha = (whole(values, empty) for values, empty in zip(rendered, (-1.0, 0.0, 0.0), strict=True))
    return features, depth, alpha


def marched_of(rays: Tensor, size: int) -> Tensor:
    """[B,1,size,size] 1 where a ray number of [B,K] is."""
    return torch.zeros(len(rays), size * size, device=rays.device).scatter(1, rays, 1.0).view(-1, 1, size, size)


def adversarial_step(
    trainer: Trainer, batches: Batches, settings: FinetuneSettings, random: torch.Generator
) -> dict[str, float]:
    """The discriminator's step, then the generator's gradients of softplus(-D); see the EG3D losses."""
    count, frames = settings.adversarial_batch, batches.frames
    views, real = batches.draw(count, random), batches.draw(count, random)
    camera = frames.camera[views]
    fake = trainer.generator.synthesis(
        fake_latents(trainer, settings, count, random),
        camera,
        background=_gray(frames.image),
        sampling=sampling(settings, random),
        compute=compute_of(settings),
    )
    figures = discriminator_step(trainer, batches, settings, real, fake, camera, random)
    trainer.discriminator.requires_grad_(False)
    loss = generator_loss(judged(trainer, fake.image, fake.raw, camera, random))
    (settings.adversarial * loss).backward()
    trainer.discriminator.requires_grad_(True)
    return figures | figures_of(adversarial=loss)


def discriminator_step(
    trainer: Trainer, batches: Batches, settings: FinetuneSettings, real: Tensor, fake: Rendering, camera: Camera,
    random: torch.Generator,
) -> dict[str, float]:  # fmt: skip
    """softplus(D(fake)) + softplus(-D(real)), with R1 over image and raw image, before augmentation, every `r1_every` steps."""
    discriminator, optimizer = trainer.discriminator, trainer.discriminator_optimizer
    turn = trainer.step // settings.adversarial_every
    image = batches.frames.image[real].clone().requires_grad_(True)
    raw = F.interpolate(image.detach(), size=(batches.raw_size,) * 2, mode="bilinear", antialias=True, align_corners=False)
    raw.requires_grad_(True)
    logits = judged(trainer, image, raw, batches.frames.camera[real], random)
    loss = discriminator_loss(real=logits, fake=judged(trainer, fake.image.detach(), fake.raw.detach(), camera, random))
    if turn % settings.r1_every == 0:
        gamma = r1_gamma(settings.adversarial_batch) if settings.r1_gamma is None else settings.r1_gamma
        loss = loss + settings.r1_every * (gamma / 2) * r1_penalty(logits, image, raw).mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    clean_gradients(discriminator.parameters())
    optimizer.step()
    trainer.augmentation.observe(logits)
    return figures_of(discriminator=loss, real_sign=logits.sign().mean(), augment=trainer.augmentation.p)


def judged(trainer: Trainer, image: Tensor, raw: Tensor, camera: Camera, random: torch.Generator) -> Tensor:
    """Logits [B,1] of the discriminator, which sees augmented images."""
    image, raw = trainer.augmentation(image, raw, random)
    return trainer.discriminator({"image": image, "image_raw": raw}, camera).logits


def fake_latents(trainer: Trainer, settings: FinetuneSettings, count: int, random: torch.Generator) -> Tensor:
    """ws [count,num_ws,w_dim] for the discriminator: fitted ones, or mapping(z) without a camera, as in the paper."""
    latent = trainer.generator.latent
    device = trainer.latents.device
    if settings.latents == "fitted":
        chosen = torch.randint(len(trainer.latents), (count,), generator=random)
        return broadcast(trainer.latents[chosen].detach(), latent.num_ws)
    z = torch.randn(count, latent.z_dim, generator=random).to(device)
    ws = trainer.generator.mapping(z)
    trainer.generator.backbone.mapping.track(ws[:, 0])
    return ws


def density_step(trainer: Trainer, settings: FinetuneSettings, random: torch.Generator) -> dict[str, float]:
    """Neighboring points should have like density: EG3D's lazy regularization."""
    ws = fake_latents(trainer, settings, 1, random)
    points = (torch.rand(1, 1000, 3, generator=random) * 2 - 1) * (trainer.generator.config.box_warp / 2)
    twins = points + 0.004 * torch.randn(points.shape, generator=random)
    planes = trainer.generator.planes(ws)
    both = torch.cat([points, twins], 1).to(planes.device)
    loss = density_smoothness(*trainer.generator.density_at(planes, both).chunk(2, dim=1))
    (DENSITY_EVERY * settings.density * loss).backward()
    return figures_of(density=loss)


def sampling(settings: FinetuneSettings, random: torch.Generator | None) -> Sampling:
    """Jittered while training, at interval centers when `random` is None."""
    jitter = "random" if random is not None else "mid"
    return Sampling(coarse=settings.coarse, fine=settings.fine, jitter=jitter, generator=random)


def compute_of(settings: FinetuneSettings) -> Compute:
    return Compute(recompute=settings.memory == "light")


def figures_of(**values: Tensor) -> dict[str, float]:
    return {name: float(value.detach()) for name, value in values.items()}


def roughness(latents: Tensor) -> Tensor:
    """Mean squared step between neighbors in time."""
    return (latents[1:] - latents[:-1]).square().mean()


def keyed(seed: int, step: int, purpose: str) -> torch.Generator:
    """Random numbers that depend only on what they are for."""
    return torch.Generator().manual_seed(zlib.crc32(f"{seed}/{step}/{purpose}".encode()))


def averaged_generator(trainer: Trainer) -> EG3D:
    """A copy of the generator with the averaged weights, in eval mode."""
    generator = copy.deepcopy(trainer.generator)
    generator.load_state_dict(trainer.average["generator"])
    return generator.eval().requires_grad_(False)


def _averaged(trainer: Trainer) -> Tree:
    state = {name: value.detach().clone() for name, value in trainer.generator.state_dict().items()}
    return {"generator": state, "latents": {"w": trainer.latents.detach().clone()}}


def _update_average(trainer: Trainer, settings: FinetuneSettings) -> None:
    """Averaged weights with EG3D's ramp-up."""
    beta = ema_decay(settings.batch, settings.ema_images, seen=trainer.step * settings.batch)
    for name, value in trainer.generator.state_dict().items():
        kept = trainer.average["generator"][name]
        kept.copy_(value.lerp(kept, beta) if value.is_floating_point() else value)
    trainer.average["latents"]["w"].copy_(trainer.latents.detach().lerp(trainer.average["latents"]["w"], beta))


def _set_learning_rate(trainer: Trainer, settings: FinetuneSettings, done: float) -> None:
    """Full for the first half, then a cosine to `final_rate` (falling from the start cost 0.6 dB held out)."""
    cosine = 0.5 * (1 + math.cos(math.pi * max(done - 0.5, 0.0) / 0.5))
    factor = settings.final_rate + (1 - settings.final_rate) * cosine
    for group in trainer.generator_optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def _gray(like: Tensor) -> Tensor:
    return like.new_full((1, 3, 1, 1), GRAY)


def _append(log: Path, row: dict[str, float]) -> None:
    with log.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def _cut_log(log: Path, step: int) -> None:
    """Drop lines past the checkpoint: the resumed run writes them again."""
    if log.exists():
        lines = [line for line in log.read_text().splitlines() if line.endswith("}") and json.loads(line)["step"] <= step]
        log.write_text("".join(line + "\n" for line in lines))
