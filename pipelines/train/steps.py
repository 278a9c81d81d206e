"""One step of fine-tuning a person's generator (GAN-Avatar section 3.1).

Two terms share the generator. Photometric: frame i has a free latent w_i (an auto-decoder), rendered under its own camera and
compared with the frame. Adversarial: latents under other frames' cameras against real frames, R1 on the discriminator. No
expression of a training frame is looked at. Beside them, sides that were not filmed stay as the prior showed them.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from models.compositing import over
from models.compute import Compute
from models.eg3d import EG3D
from models.expression_map import broadcast
from models.generator import Rendering
from models.losses import density_smoothness, discriminator_loss, generator_loss, r1_penalty
from models.photometric import color_loss, gradient_loss, weighted_mean
from models.sampling import Sampling
from models.schedules import clean_gradients, r1_gamma
from pipelines.train.frames import Frames, choose_rays, foreground
from pipelines.train.marching import gray, march_chosen, marched_of, render_chosen
from pipelines.train.settings import FinetuneSettings
from pipelines.train.trainer import DENSITY_EVERY, Trainer, keyed, set_learning_rate, update_average
from pipelines.train.views import Views


class Batches:
    """Frames on the device, with the raw-size truth and ray masks computed once."""

    def __init__(self, frames: Frames, generator: EG3D, settings: FinetuneSettings, remembered: Views | None = None):
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
    set_learning_rate(trainer, settings, step / steps)
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
    update_average(trainer, settings)
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


def remembering_step(trainer: Trainer, views: Views, settings: FinetuneSettings, random: torch.Generator) -> dict[str, float]:
    """The mean latent from a side that was never filmed against what the prior showed there; gradients are added."""
    chosen = torch.randint(len(views.raw), (settings.remember_batch,), generator=random)
    size, raw, alpha = views.raw.shape[-1], views.raw[chosen], views.alpha[chosen]
    rays = choose_rays(foreground(alpha), torch.ones_like(alpha), settings.background_rays, random)
    ws = broadcast(trainer.latents.detach().mean(0, keepdim=True).expand(len(chosen), -1), trainer.generator.latent.num_ws)
    how, camera = sampling(settings, random), views.camera[chosen]
    features, _, opaque = march_chosen(trainer.generator, ws, camera, rays, how, size, compute_of(settings))
    marched = marched_of(rays, size)
    color = color_loss(over(features[:, :3], opaque, gray(opaque)), raw, marched)
    loss = color + weighted_mean((opaque - alpha).abs(), marched)
    (settings.remember_every * settings.remembered * loss).backward()
    return figures_of(remembered=loss)


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
        background=gray(frames.image),
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
