"""What the networks of 3DPortraitGAN are trained with (arXiv 2307.14770, section 3.5; spec 6): losses of the three phases, and
their weights as numbers of the images seen.

Notable choices:
- each phase is a function of its draws: whoever trains decides where random numbers come from;
- the score reaches the generator's pose head through the warp and the mapping's condition; the coarse pose of a label only
  holds it until it has found out how people look into cameras. Later it is frozen: trained on, it collapses;
- the discriminator's pose head learns from fakes alone, whose pose is certain.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.camera import Camera
from models.generator import Control, Noise, Rendering, RenderSettings, Role
from models.heads.bust import body_of_name
from models.heads.skinned_body import SkinnedBody
from models.networks.stylegan2.resampling import blur
from models.portrait3d.config import PortraitConfig
from models.portrait3d.discriminator import Images, PoseDiscriminator
from models.portrait3d.generator import NoBody, Portrait3D
from models.training import schedules
from models.training.losses import generator_loss, r1_penalty

THOUSAND = 1000
SWAP, BACKGROUND_SWAP = 0.7, 0.2
"""Shares of samples whose condition (in the end), and whose background, are the neighbor's."""
FREEZE_KIMG = 6_000
"""Thousands of images after which the generator's pose head is left as it is."""


@dataclass(frozen=True, kw_only=True)
class Draw:
    """The draws of B fakes."""

    z: Tensor
    """[B,z_dim]"""
    label: Tensor
    """[B,25] cameras of the data."""
    coarse_pose: Tensor
    """[B,6] the data's poses for these cameras, radians."""
    swap: Tensor
    """[B] bool: condition the mapping on the neighbor's camera and pose."""
    background_swap: Tensor
    """[B] bool: paint the neighbor's background."""


@dataclass(frozen=True, kw_only=True)
class Fakes:
    """What a draw became."""

    rendering: Rendering
    ws: Tensor
    pose: Tensor
    """[B,6] as the generator's pose head drew it."""


def generated(
    generator: Portrait3D, draw: Draw, how: RenderSettings, *, noise: Noise = "random", density_noise: float = 0.0
) -> Fakes:
    """Bent and seen by its own camera and pose, whatever the mapping was told."""
    pose = generator.body_pose(draw.z, draw.label)
    condition = torch.cat([draw.label, pose], dim=1)
    ws = generator.mapping(draw.z, torch.where(draw.swap[:, None], condition.roll(1, 0), condition))
    behind = torch.where(draw.background_swap[:, None, None], ws.roll(1, 0), ws)
    scene = generator.prepare(Control(ws=ws, deformation=pose), noise=noise, compute=how.compute)
    camera = Camera.from_label(draw.label)
    shown = generator.render(scene, camera, how, background_ws=behind, density_noise=density_noise)
    return Fakes(rendering=shown, ws=ws, pose=pose)


def generator_phase(fakes: Fakes, draw: Draw, judge: PoseDiscriminator, *, sigma: float, pose_weight: float) -> Tensor:
    """[] softplus(-D(fake)) + pose_weight |pose - coarse pose|^2; `sigma` px of blur before D."""
    verdict = judge(_blurred(fakes.rendering, sigma), draw.label)
    return generator_loss(verdict.logits) + pose_weight * pose_distance(fakes.pose, draw.coarse_pose)


def discriminator_phase(
    fakes: Fakes, draw: Draw, real: Images, label: Tensor, judge: PoseDiscriminator, *, sigma: float
) -> Tensor:  # fmt: skip
    """[] softplus(D(fake)) + softplus(-D(real)) + |pose of D(fake) - pose|^2, `real` images seen by cameras [B,25]."""
    fake = judge(_blurred(fakes.rendering, sigma), draw.label)
    logits = judge(blurred_reals(real, sigma), label).logits
    return generator_loss(-fake.logits) + generator_loss(logits) + pose_distance(fake.pose, fakes.pose)


def penalty_phase(
    real: Images, label: Tensor, judge: PoseDiscriminator, *, sigma: float, gamma: float = 1.0, mask_gamma: float = 1.0
) -> Tensor:  # fmt: skip
    """[] gamma / 2 of the squared gradient at image and raw image, mask_gamma / 2 at the mask; behind the blur."""
    inputs = {name: image.detach().requires_grad_() for name, image in blurred_reals(real, sigma).items()}
    logits = judge(inputs, label).logits
    images = r1_penalty(logits, inputs["image"], inputs["image_raw"])
    return (gamma / 2 * images + mask_gamma / 2 * r1_penalty(logits, inputs["image_mask"])).mean()


def pose_distance(pose: Tensor | None, target: Tensor) -> Tensor:
    """[] mean over the batch of the squared distance of poses [B,6] from constant ones. (0.1,0,0,0,0,0.2) from 0: 0.05."""
    assert pose is not None
    return (pose - target.detach()).square().sum(1).mean()


def blurred_reals(images: Images, sigma: float) -> Images:
    """Image and raw image blurred; the mask stays sharp."""
    return {name: image if name == "image_mask" else blur(image, sigma) for name, image in images.items()}


def _blurred(fake: Rendering, sigma: float) -> Images:
    """A fake's raw image is soft enough."""
    assert fake.semantics is not None
    return {"image": blur(fake.image, sigma), "image_raw": fake.raw, "image_mask": fake.semantics}


def coarse_pose_weight(images: float, start: float = 0.5, hold_kimg: float = 200.0, end_kimg: float = 400.0) -> float:
    """`start` until hold_kimg, then linearly to 0 at end_kimg. 0.5 after 100,000 images, 0.25 after 300,000, then 0."""
    share = (images / THOUSAND - hold_kimg) / (end_kimg - hold_kimg)
    return start * (1 - min(max(share, 0.0), 1.0))


def density_noise(images: float, fade_kimg: float = 200.0) -> float:
    """Standard deviation of the noise on raw densities: 1 to 0 over fade_kimg. 0.5 after 100,000 images."""
    return max(1 - images / (fade_kimg * THOUSAND), 0.0)


def condition_swap(images: float) -> float:
    """Share of conditions that are the neighbor's. 1 at first, 0.85 after 500,000 images, 0.7 from a million on."""
    return schedules.swap_probability(images, SWAP)


def learns_poses(images: float) -> bool:
    """Whether the generator's pose head is still trained; it is frozen after FREEZE_KIMG."""
    return images < FREEZE_KIMG * THOUSAND


def raw_size(images: float, start: int = 64, final: int = 128, begin_kimg: float = 10_000.0, fade_kimg: float = 1000.0) -> int:
    """Side of the raw image in rays: `start` until begin_kimg, then to `final`. 96 after 10.5 million images."""
    return schedules.raw_resolution(max(images - begin_kimg * THOUSAND, 0.0), start, final, fade_kimg)


class PortraitPhases:
    """The phases and schedules above (models.families.Phases)."""

    def dressed(self, config: PortraitConfig, body: SkinnedBody | None) -> PortraitConfig:
        """Networks that were made with a user's body keep its name; those of a body made by code get the other one's."""
        if body is None:
            if body_of_name(config.body) is None:
                raise NoBody(config.body)
            return config
        return config if body_of_name(config.body) is None else replace(config, body=body.identity)

    def wear(self, generator: Portrait3D, body: SkinnedBody) -> None:
        generator.wear(body)

    def draw(self, z: Tensor, labels: Tensor, poses: Tensor, seen: float, random: torch.Generator) -> Draw:
        coins = torch.rand(2, len(z), generator=random).to(z.device)
        swaps = coins[0] < condition_swap(seen), coins[1] < BACKGROUND_SWAP
        return Draw(z=z, label=labels, coarse_pose=poses, swap=swaps[0], background_swap=swaps[1])

    def fakes(self, generator: Portrait3D, draw: Draw, how: RenderSettings, seen: float) -> Fakes:
        return generated(generator, draw, how, density_noise=density_noise(seen))

    def against(self, fakes: Fakes, draw: Draw, judge: PoseDiscriminator, *, sigma: float, seen: float) -> Tensor:
        return generator_phase(fakes, draw, judge, sigma=sigma, pose_weight=coarse_pose_weight(seen))

    def judge(
        self, fakes: Fakes, draw: Draw, real: Images, labels: Tensor, judge: PoseDiscriminator, *, sigma: float
    ) -> Tensor:  # fmt: skip
        return discriminator_phase(fakes, draw, real, labels, judge, sigma=sigma)

    def penalty(
        self, real: Images, labels: Tensor, judge: PoseDiscriminator, *, sigma: float, gamma: float, mask_gamma: float
    ) -> Tensor:  # fmt: skip
        return penalty_phase(real, labels, judge, sigma=sigma, gamma=gamma, mask_gamma=mask_gamma)

    def control(self, generator: Portrait3D, z: Tensor, labels: Tensor) -> Control:
        pose = generator.body_pose(z, labels)
        return Control(ws=generator.mapping(z, torch.cat([labels, pose], dim=1)), deformation=pose)

    def raw_size(self, config: PortraitConfig, seen: float) -> int:
        """Twice the configuration's in the end where the image leaves room for it."""
        start = config.neural_rendering_resolution
        return raw_size(seen, start, min(2 * start, max(config.image_size // 2, start)))

    def held(self, seen: float) -> tuple[Role, ...]:
        return () if learns_poses(seen) else ("pose",)
