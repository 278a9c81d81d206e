"""The adversarial term of a person's fine-tuning (GAN-Avatar section 3.1): the discriminator, and what it says of fakes.

Notable choices:
- groups that the discriminator compares are never split, also where one image at a time has to do: then a group is rendered one
  by one, and backward renders each again;
- the mean latent moves once a step, by the whole batch's mean; so does ADA's probability;
- the discriminator's step is made once, however often the generator's part has to be tried again with less memory.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from models.compute_mode import Compute
from models.heads.expression_map import broadcast
from models.rendering.sampling import Sampling
from models.training.losses import discriminator_loss, generator_loss, r1_penalty
from models.training.schedules import clean_gradients, r1_gamma
from pipelines.engine.memory import batch_limit, within_memory
from pipelines.engine.microbatches import LossSums, group_batches, sampling, slice_of, with_uniforms
from pipelines.train.ray_subset import gray
from pipelines.train.settings import FinetuneSettings
from pipelines.train.trainer import Trainer

if TYPE_CHECKING:
    from pipelines.train.steps import Step

Pair = tuple[Tensor, Tensor]
"""Image [B,3,H,H] and raw image [B,3,h,h]."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What the discriminator sees in a step, for the whole batch."""

    views: Tensor
    """[B] frames whose cameras see the fakes."""
    real: Tensor
    """[B] frames."""
    who: Tensor
    """[B] frames whose latents the fakes are, or z [B,z_dim]."""
    how: Sampling


def adversarial_step(step: "Step") -> None:
    """The discriminator's step, then the generator's gradients of softplus(-D); see the EG3D losses."""
    settings, random = step.settings, step.random("adversarial")
    views, real = (step.batches.draw(settings.adversarial_batch, random) for _ in range(2))
    who = draw_latents(step.trainer, settings, settings.adversarial_batch, random)
    how = with_uniforms(sampling(settings, random), len(views), step.batches.raw_size**2)
    seen = Drawn(views=views, real=real, who=who, how=how)
    members = min(step.trainer.discriminator.b4.group_size, len(views))
    groups = group_batches(len(views), members, settings, step.processes)
    groups = step.processes.mine(groups, spare=settings.photometric > 0)
    fakes: list[Pair] = []
    if not step.judged:
        discriminator_step(step, seen, groups, fakes)
    step.losses.expect("adversarial")
    step.trainer.discriminator.requires_grad_(False)
    with within_memory(step.processes):
        for group in groups:
            pair = fakes.pop() if fakes else fake(step, seen, group)
            logits = judged(step, pair, step.batches.frames.camera[seen.views[group]], group, "G")
            loss = generator_loss(logits) * share(group, seen)
            (settings.adversarial * loss).backward()
            step.losses.add(adversarial=loss)
    step.trainer.discriminator.requires_grad_(True)


def discriminator_step(step: "Step", seen: Drawn, groups: list[Tensor], fakes: list[Pair]) -> None:
    """softplus(D(fake)) + softplus(-D(real)), with R1 over image and raw image, before augmentation, every `r1_every` steps.

    Where this process has one group alone, its fakes are left in `fakes` for the generator.
    """
    trainer, settings, losses = step.trainer, step.settings, LossSums(("discriminator", "real_sign"))
    discriminator, optimizer = trainer.discriminator, trainer.discriminator_optimizer
    discriminator.requires_grad_(True)
    optimizer.zero_grad(set_to_none=True)
    w = torch.zeros_like(trainer.latents[0]).detach()
    with within_memory(step.processes):
        for group in groups:
            with torch.set_grad_enabled(len(groups) == 1):
                image, raw = fake(step, seen, group)
            loss, logits = group_loss(step, seen, group, (image.detach(), raw.detach()))
            loss.backward()
            losses.add(discriminator=loss, real_sign=logits.sign().mean() * share(group, seen))
            if settings.latents == "sampled":
                w += latents_of(trainer, seen.who[group])[:, 0].detach().sum(0)
            if len(groups) == 1:
                fakes.append((image, raw))
    step.processes.add_gradients(discriminator.parameters())
    clean_gradients(discriminator.parameters())
    optimizer.step()
    step.processes.add(w)
    if settings.latents == "sampled":
        trainer.generator.backbone.mapping.track(w[None] / len(seen.views))
    figures = losses.total(step.processes)
    trainer.augmentation.note(figures["real_sign"] * len(seen.views), len(seen.views))
    step.judged = figures | {"augment": float(trainer.augmentation.p)}


def group_loss(step: "Step", seen: Drawn, group: Tensor, shown: Pair) -> tuple[Tensor, Tensor]:
    """The group's share of the discriminator's loss, and the logits of its real images."""
    settings, frames, own = step.settings, step.batches.frames, seen.real[group]
    turn = step.trainer.step // settings.adversarial_every
    image = frames.image[own].clone().requires_grad_(True)
    raw = F.interpolate(image.detach(), size=(step.batches.raw_size,) * 2, mode="bilinear", antialias=True, align_corners=False)
    raw.requires_grad_(True)
    real = judged(step, (image, raw), frames.camera[own], group, "real")
    loss = discriminator_loss(real=real, fake=judged(step, shown, frames.camera[seen.views[group]], group, "fake"))
    if turn % settings.r1_every == 0:
        gamma = r1_gamma(settings.adversarial_batch) if settings.r1_gamma is None else settings.r1_gamma
        loss = loss + settings.r1_every * (gamma / 2) * r1_penalty(real, image, raw).mean()
    return loss * share(group, seen), real


def fake(step: "Step", seen: Drawn, group: Tensor) -> Pair:
    """Image and raw image of a group; where fewer fit at once, backward renders them again, so many at a time."""
    size = batch_limit(step.settings, step.processes.count)
    if len(group) <= size:
        return shown(step, latents_of(step.trainer, seen.who[group]), seen, group)
    again = Compute(recompute=True)
    parts = [
        again.run(shown, step, latents_of(step.trainer, seen.who[part]), seen, part) for part in group.split(size)
    ]  # fmt: skip
    image, raw = (torch.cat(values) for values in zip(*parts, strict=True))
    return image, raw


def shown(step: "Step", ws: Tensor, seen: Drawn, part: Tensor) -> Pair:
    frames, how = step.batches.frames, slice_of(seen.how, part, step.device)
    camera: Camera = frames.camera[seen.views[part]]
    rendering = step.trainer.generator.synthesis(
        ws, camera, background=gray(frames.image), sampling=how, compute=step.compute
    )  # fmt: skip
    return rendering.image, rendering.raw


def judged(step: "Step", shown: Pair, camera: Camera, group: Tensor, purpose: str) -> Tensor:
    """Logits [B,1] of the discriminator, which sees augmented images; `group` are their places in the batch."""
    image, raw = augmented(step, shown, group, purpose)
    if step.trainer.discriminator.label_noise > 0:  # it draws from PyTorch's own generator
        torch.manual_seed(step.random(f"labels {purpose} {int(group[0])}").initial_seed())
    return step.trainer.discriminator({"image": image, "image_raw": raw}, camera).logits


def augmented(step: "Step", shown: Pair, places: Tensor, purpose: str) -> Pair:
    """Every group that the discriminator compares with random numbers of its own, whichever groups come at once."""
    if step.trainer.augmentation.p == 0:
        return shown
    groups = places % max(step.settings.adversarial_batch // step.trainer.discriminator.b4.group_size, 1)
    rows = [(groups == number).nonzero()[:, 0] for number in groups.unique().tolist()]
    parts = [
        step.trainer.augmentation(shown[0][own], shown[1][own], step.random(f"augment {purpose} {int(groups[own[0]])}"))
        for own in rows
    ]
    back = torch.cat(rows).argsort()
    image, raw = (torch.cat(values)[back] for values in zip(*parts, strict=True))
    return image, raw


def share(group: Tensor, seen: Drawn) -> float:
    return len(group) / len(seen.views)


def draw_latents(trainer: Trainer, settings: FinetuneSettings, count: int, random: torch.Generator) -> Tensor:
    """Numbers of frames [count] whose latents are taken, or z [count,z_dim] as in the paper."""
    if settings.latents == "fitted":
        return torch.randint(len(trainer.latents), (count,), generator=random)
    return torch.randn(count, trainer.generator.latent.z_dim, generator=random)


def latents_of(trainer: Trainer, who: Tensor) -> Tensor:
    """ws [count,num_ws,w_dim]: fitted ones of frames, or mapping(z) without a camera."""
    if who.is_floating_point():
        return trainer.generator.mapping(who.to(trainer.latents.device))
    return broadcast(trainer.latents[who].detach(), trainer.generator.latent.num_ws)
