"""One step of fine-tuning a person's generator (GAN-Avatar section 3.1).

Two terms share the generator. Photometric: frame i has a free latent w_i (an auto-decoder), rendered under its own camera and
compared with the frame. Adversarial (pipelines.train.adversary): latents under other frames' cameras against real frames, R1 on
the discriminator. No expression of a training frame is looked at. Beside them, sides that were not filmed stay as the prior
showed them. How a batch is divided changes nothing but rounding (pipelines.engine.microbatches).
"""

import torch
from torch import Tensor

from models.generator import Rendering, RenderSettings
from models.training.photometric import color_loss, contrast_loss, gradient_loss, weighted_mean
from models.training.schedules import clean_gradients
from pipelines.engine.distributed import ALONE, Processes
from pipelines.engine.memory import within_memory
from pipelines.engine.microbatches import LossSums, micro_batches, sampling, slice_of, with_uniforms
from pipelines.train.adversary import adversarial_step, draw_latents, latents_of
from pipelines.train.context import Batches, Step
from pipelines.train.ray_subset import choose_rays, foreground, gray, marched_of
from pipelines.train.remembered_views import Views
from pipelines.train.settings import FinetuneSettings
from pipelines.train.trainer import REGULARIZED_EVERY, Trainer, render_latents, set_learning_rate, update_average

__all__ = ["Batches", "Step", "run_step", "sampling", "train_step"]


def train_step(
    trainer: Trainer, batches: Batches, settings: FinetuneSettings, *, steps: int, seed: int, processes: Processes = ALONE
) -> dict[str, float]:
    """One optimizer step of the generator, and one of the discriminator when it is its turn."""
    step = Step(trainer=trainer, batches=batches, settings=settings, steps=steps, seed=seed, processes=processes)
    return run_step(step)


def run_step(step: Step) -> dict[str, float]:
    """The step's figures once the generator has moved; OutOfMemory before that, and it can be run again with other settings."""
    trainer, settings, number = step.trainer, step.settings, step.trainer.step
    set_learning_rate(trainer, settings, number / step.steps)
    trainer.generator_optimizer.zero_grad(set_to_none=True)
    step.losses = LossSums()
    if settings.photometric > 0:
        with within_memory(step.processes):
            photometric_step(step)
    if (
        settings.adversarial > 0
        and number >= settings.adversarial_from * step.steps
        and number % settings.adversarial_every == 0
    ):
        adversarial_step(step)
    if settings.density > 0 and number % REGULARIZED_EVERY == 0:
        with within_memory(step.processes):
            regularizing_step(step)
    step.processes.add_gradients([*trainer.generator.parameters(), trainer.latents])
    clean_gradients(trainer.generator.parameters())
    trainer.generator_optimizer.step()
    trainer.keep()
    trainer.step += 1
    update_average(trainer, settings)
    return step.figures()


def photometric_step(step: Step) -> None:
    """Fitted latents under their own cameras against their own frames; gradients are added, nothing is stepped."""
    trainer, batches, settings, random = step.trainer, step.batches, step.settings, step.random("photometric")
    chosen = batches.draw(settings.batch, random)
    rays = choose_rays(batches.foreground[chosen], batches.raw_inside[chosen], batches.background_rays, random)
    how = with_uniforms(sampling(settings, random), *rays.shape)
    for part in step.processes.mine(micro_batches(len(chosen), settings, step.processes)):
        w, camera = trainer.latents[chosen[part]], batches.frames.camera[chosen[part]]
        how_of_part = RenderSettings(
            sampling=slice_of(how, part, step.device), rays=rays[part], background=gray(w), compute=step.compute
        )
        shown = render_latents(trainer, w, camera, how_of_part)
        photometric = photometric_loss(step, chosen, rays, part, shown)
        (settings.photometric * photometric + latent_loss(step, w) * (len(w) / len(chosen))).backward()
    if batches.remembered is not None and trainer.step % settings.remember_every == 0:
        remembering_step(step, batches.remembered, random)


def photometric_loss(step: Step, chosen: Tensor, rays: Tensor, part: slice, shown: Rendering) -> Tensor:
    """The part's share of raw image, matte, image and its edges against the chosen frames [B], at the rays [B,K]."""
    batches, settings, frames = step.batches, step.settings, step.batches.frames
    own, known = chosen[part], batches.raw_inside[chosen] * marched_of(rays, batches.raw_size)
    weight = known * (1 + settings.detail * batches.raw_detail[chosen])
    raw = color_loss(shown.raw, batches.raw_image[own], weight[part], of=weight)
    matte = weighted_mean((shown.alpha - batches.raw_alpha[own]).abs(), known[part], of=known)
    weight = frames.inside[chosen] * (1 + settings.detail * frames.detail[chosen])
    image = color_loss(shown.image, frames.image[own], weight[part], of=weight)
    edges = gradient_loss(shown.image, frames.image[own], weight[part], of=weight)
    contrast = contrast_loss(shown.image, frames.image[own], weight[part], of=weight)
    step.losses.add(raw=raw, matte=matte, image=image, edges=edges, contrast=contrast)
    return raw + settings.alpha * matte + settings.image * image + settings.gradient * edges + settings.contrast * contrast


def latent_loss(step: Step, w: Tensor) -> Tensor:
    """Keeps the latents w [B,w_dim] near the mean of all, and all neighbors in time near each other."""
    settings, latents = step.settings, step.trainer.latents
    apart = (w - latents.mean(0)).square().mean()
    return settings.latent_prior * apart + settings.latent_smoothness * roughness(latents)


def remembering_step(step: Step, views: Views, random: torch.Generator) -> None:
    """The mean latent from a side that was never filmed against what the prior showed there; gradients are added."""
    trainer, settings = step.trainer, step.settings
    chosen = torch.randint(len(views.raw), (settings.remember_batch,), generator=random)
    size, raw, alpha = views.raw.shape[-1], views.raw[chosen], views.alpha[chosen]
    rays = choose_rays(foreground(alpha), torch.ones_like(alpha), settings.background_rays, random)
    how, marched = with_uniforms(sampling(settings, random), *rays.shape), marched_of(rays, size)
    step.losses.expect("remembered")
    for part in step.processes.mine(micro_batches(len(chosen), settings, step.processes), spare=True):
        own, camera = chosen[part], views.camera[chosen[part]]
        mean = trainer.latents.detach().mean(0, keepdim=True).expand(len(own), -1)
        how_of_part = RenderSettings(
            sampling=slice_of(how, part, step.device), raw_size=size, rays=rays[part], background=gray(alpha), raw_only=True,
            compute=step.compute,
        )  # fmt: skip
        shown = render_latents(trainer, mean, camera, how_of_part)
        color = color_loss(shown.raw, raw[part], marched[part], of=marched)
        loss = color + weighted_mean((shown.alpha - alpha[part]).abs(), marched[part], of=marched)
        (settings.remember_every * settings.remembered * loss).backward()
        step.losses.add(remembered=loss)


def regularizing_step(step: Step) -> None:
    """The family's regularizers on one scene, by one process: neighboring points should have like density."""
    trainer, random = step.trainer, step.random("density")
    who = draw_latents(trainer, step.settings, 1, random)
    step.losses.expect(*trainer.regularizers)
    for part in step.processes.mine([slice(0, 1)], spare=True):
        scene = trainer.scene(latents_of(trainer, who[part]))
        for name, regularizer in trainer.regularizers.items():
            loss = regularizer(scene, random)
            step.losses.add(**{name: loss})
            (REGULARIZED_EVERY * step.settings.density * loss).backward(retain_graph=len(trainer.regularizers) > 1)


def roughness(latents: Tensor) -> Tensor:
    """Mean squared step between neighbors in time."""
    return (latents[1:] - latents[:-1]).square().mean()
