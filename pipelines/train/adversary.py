"""The adversarial term of a person's fine-tuning (GAN-Avatar section 3.1): the discriminator, and what it says of fakes.

Notable choices:
- groups that the discriminator compares are never split, also where one image at a time has to do: then a group is rendered one
  by one, and backward renders each again;
- the mean latent moves once a step, by the whole batch's mean; so does ADA's probability;
- the discriminator's step is made once, however often the generator's part has to be tried again with less memory.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from models.compute_mode import Compute
from models.families import Judge
from models.generator import RenderSettings
from models.heads.expression_map import broadcast
from models.rendering.sampling import Sampling
from models.training.losses import discriminator_loss, generator_loss, r1_penalty
from models.training.schedules import clean_gradients, r1_gamma
from pipelines.engine.judges import Images, group_size, logits_of, need_mask, parameters_of, require_gradients
from pipelines.engine.memory import batch_limit, within_memory
from pipelines.engine.microbatches import LossSums, group_batches, sampling, slice_of, with_uniforms
from pipelines.train.context import Step
from pipelines.train.ray_subset import gray
from pipelines.train.settings import FinetuneSettings
from pipelines.train.trainer import Trainer, render_latents


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


def adversarial_step(step: Step) -> None:
    """The discriminator's step, then the generator's gradients of softplus(-D) (models.training.losses)."""
    settings, random = step.settings, step.random("adversarial")
    views, real = (step.batches.draw(settings.adversarial_batch, random) for _ in range(2))
    who = draw_latents(step.trainer, settings, settings.adversarial_batch, random)
    how = with_uniforms(sampling(settings, random), len(views), step.batches.raw_size**2)
    seen = Drawn(views=views, real=real, who=who, how=how)
    members = min(group_size(step.trainer.judges), len(views))
    groups = group_batches(len(views), members, settings, step.processes)
    groups = step.processes.mine(groups, spare=settings.photometric > 0)
    fakes: list[Images] = []
    if not step.judged:
        discriminator_step(step, seen, groups, fakes)
    step.losses.expect("adversarial")
    require_gradients(step.trainer.judges, False)
    with within_memory(step.processes):
        for group in groups:
            images = fakes.pop() if fakes else fake(step, seen, group)
            camera = step.batches.frames.camera[seen.views[group]]
            every = judged(step, images, camera, group, "G")
            loss = total(judge.weight * generator_loss(every[name]) for name, judge in step.trainer.judges.items())
            loss = loss * share(group, seen)
            (settings.adversarial * loss).backward()
            step.losses.add(adversarial=loss)
    require_gradients(step.trainer.judges, True)


def discriminator_step(step: Step, seen: Drawn, groups: list[Tensor], fakes: list[Images]) -> None:
    """softplus(D(fake)) + softplus(-D(real)) of every judge, every `r1_every` steps with R1 over all that it sees.

    Where this process has one group alone, its fakes are left in `fakes` for the generator.
    """
    trainer, settings, losses = step.trainer, step.settings, LossSums(("discriminator", "real_sign"))
    parameters, optimizer = parameters_of(trainer.judges), trainer.discriminator_optimizer
    require_gradients(trainer.judges, True)
    optimizer.zero_grad(set_to_none=True)
    w = torch.zeros_like(trainer.latents[0]).detach()
    with within_memory(step.processes):
        for group in groups:
            with torch.set_grad_enabled(len(groups) == 1):
                images = fake(step, seen, group)
            loss, sign = group_loss(step, seen, group, {name: image.detach() for name, image in images.items()})
            loss.backward()
            losses.add(discriminator=loss, real_sign=sign * share(group, seen))
            if settings.latents == "sampled":
                w += latents_of(trainer, seen.who[group])[:, 0].detach().sum(0)
            if len(groups) == 1:
                fakes.append(images)
    step.processes.add_gradients(parameters)
    clean_gradients(parameters)
    optimizer.step()
    step.processes.add(w)
    if settings.latents == "sampled":
        trainer.generator.track(w[None] / len(seen.views))
    figures = losses.total(step.processes)
    trainer.augmentation.note(figures["real_sign"] * len(seen.views), len(seen.views))
    step.judged = figures | {"augment": float(trainer.augmentation.p)}


def group_loss(step: Step, seen: Drawn, group: Tensor, fakes: Images) -> tuple[Tensor, Tensor]:
    """The group's share of the discriminators' loss, and their mean sign on its real images."""
    frames, own, judges = step.batches.frames, seen.real[group], step.trainer.judges
    images = real_images(step, own)
    real = judged(step, images, frames.camera[own], group, "real")
    fake = judged(step, fakes, frames.camera[seen.views[group]], group, "fake")
    losses = (
        judge.weight * (discriminator_loss(real=real[name], fake=fake[name]) + lazy_penalty(step, real[name], images))
        for name, judge in judges.items()
    )
    signs = total(logits.sign().mean() for logits in real.values()) / len(real)
    return total(losses) * share(group, seen), signs


def lazy_penalty(step: Step, logits: Tensor, images: Images) -> Tensor | float:
    """R1 of a judge's logits of real images, where it is its turn, times the steps between."""
    settings = step.settings
    if (step.trainer.step // settings.adversarial_every) % settings.r1_every:
        return 0.0
    gamma = r1_gamma(settings.adversarial_batch) if settings.r1_gamma is None else settings.r1_gamma
    return settings.r1_every * (gamma / 2) * r1_penalty(logits, *images.values()).mean()


def real_images(step: Step, own: Tensor) -> Images:
    """What a discriminator sees of frames, with gradients for R1."""
    batches = step.batches
    image = batches.frames.image[own].clone()
    raw = F.interpolate(image, size=(batches.raw_size,) * 2, mode="bilinear", antialias=True, align_corners=False)
    images = {"image": image, "image_raw": raw}
    if need_mask(step.trainer.judges):
        images["image_mask"] = batches.raw_alpha[own].clone()
    return {name: values.requires_grad_(True) for name, values in images.items()}


def fake(step: Step, seen: Drawn, group: Tensor) -> Images:
    """The generator's images of a group; where fewer fit at once, backward renders them again, so many at a time."""
    size = batch_limit(step.settings, step.processes.count)
    if len(group) <= size:
        return images_of(step, latents_of(step.trainer, seen.who[group]), seen, group)
    again = Compute(recompute=True)
    parts = [
        again.run(images_of, step, latents_of(step.trainer, seen.who[part]), seen, part) for part in group.split(size)
    ]  # fmt: skip
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def images_of(step: Step, ws: Tensor, seen: Drawn, part: Tensor) -> Images:
    trainer, frames = step.trainer, step.batches.frames
    sampled = slice_of(seen.how, part, step.device)
    how = RenderSettings(sampling=sampled, background=gray(frames.image), compute=step.compute)
    rendering = render_latents(trainer, ws, frames.camera[seen.views[part]], how)
    images = {"image": rendering.image, "image_raw": rendering.raw}
    if need_mask(trainer.judges) and rendering.semantics is not None:
        images["image_mask"] = rendering.semantics[:, :1]
    return images


def judged(step: Step, images: Images, camera: Camera, group: Tensor, purpose: str) -> dict[str, Tensor]:
    """Logits [B,1] of every judge, which see augmented images; `group` are their places in the batch."""
    shown = augmented(step, images, group, purpose)

    def logits(judge: Judge) -> Tensor:
        return logits_of(judge, shown, camera, step.random(f"labels {purpose} {int(group[0])}"))

    return {name: logits(judge) for name, judge in step.trainer.judges.items()}


def augmented(step: Step, images: Images, places: Tensor, purpose: str) -> Images:
    """Every group that a discriminator compares with random numbers of its own, whichever groups come at once."""
    if step.trainer.augmentation.p == 0:
        return images
    groups = places % max(step.settings.adversarial_batch // group_size(step.trainer.judges), 1)
    rows = [(groups == number).nonzero()[:, 0] for number in groups.unique().tolist()]
    parts = [
        step.trainer.augmentation.pictures(
            {name: image[own] for name, image in images.items()}, step.random(f"augment {purpose} {int(groups[own[0]])}")
        )
        for own in rows
    ]
    back = torch.cat(rows).argsort()
    return {name: torch.cat([part[name] for part in parts])[back] for name in images}


def total(values: Iterable[Tensor]) -> Tensor:
    first, *others = values
    return sum(others, first)


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
