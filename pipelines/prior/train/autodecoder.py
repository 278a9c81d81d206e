"""Stage 1 of the shipped prior: a generator taught by exact truth (an auto-decoder: latents are parameters, no encoder).

Every step renders square patches of a few states, each seen by several cameras, and compares color, alpha, depth and the
super-resolved image with the truth. Patches lie where there is something to learn; rays that miss the head are mostly left
out. Random numbers are keyed by (seed, step, purpose): a resumed run equals an unbroken one.
"""

import copy
import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from models.generator import Control, Generator, RenderSettings
from models.heads.expression_map import broadcast
from models.training.photometric import color_loss, gradient_loss, weighted_mean
from models.training.regularizers import smooth_density
from models.training.schedules import clean_gradients
from pipelines.engine.checkpoint import Tree, load_optimizer, optimizer_tree
from pipelines.engine.keyed_random import keyed
from pipelines.prior.train.codes import Codes
from pipelines.prior.train.truth import Truth, Views, shrunk, shrunk_depth
from pipelines.train.ray_subset import choose_rays, gray
from pipelines.train.trainer import LOOKED_UP, learned_in_layers, learned_of

BORDER = 3
"""Raw pixels at a patch's border that the image losses leave out: there the super-resolution sees the padding."""
BEHIND, SOLID = 0.2, 0.95
"""A view is from behind from this cosine on between its optical axis and the face's; depth is known from this alpha on."""


@dataclass(frozen=True, kw_only=True)
class AutodecoderSettings:
    """Supervised training on exact truth."""

    steps: int = 6000
    """Optimizer steps."""
    latents: int = 5
    """States a step."""
    views: int = 2
    """Cameras a state."""
    patch: int = 32
    """Side of a patch in rays."""
    shards: int = 256
    """Shards in memory at a time."""
    exchange_every: int = 500
    """Steps between exchanges of the shards in memory."""
    detail: float = 1.0
    """Multiplies the extra weight of eyes, mouth and brows (pipelines.prior.train.truth.DETAIL)."""
    back: float = 1.0
    """Extra weight of the person in views from behind: planes are shared with the face, which shows through otherwise."""
    neutral: float = 0.3
    """Odds of a state with a neutral face; those of others are this and the size of what the face does, about 1."""
    background_rays: float = 0.15
    """Share of the rays off the head that a step renders."""
    alpha: float = 0.5
    """Weight of the absolute error of alpha; color has weight 1."""
    depth: float = 1.0
    """Weight of the absolute depth error, per head unit, where the truth is opaque."""
    image: float = 1.0
    """Weight of the super-resolved patch's color."""
    gradient: float = 0.5
    """Weight of its gradients."""
    density: float = 0.002
    """Weight of the density regularization."""
    own: float = 1e-3
    """Weight of the squared part of a latent that is a person's own, summed over its dimensions."""
    learning_rate: float = 6e-3
    """Of networks."""
    planes_learning_rate: float = 3e-2
    """Of free planes."""
    codes_learning_rate: float = 4e-3
    """Of latents and expression directions."""
    final_rate: float = 0.03
    """Learning rates at the last step, as a share."""
    average: float = 0.998
    """Decay a step of the averaged weights."""
    checkpoint_every: int = 250
    """Steps between checkpoints with figures on people not trained on."""
    seed: int = 0
    """Of every random choice."""

    @property
    def weights(self) -> dict[str, float]:
        """Of the losses beside color's, which is 1."""
        return {
            "alpha": self.alpha, "depth": self.depth, "image": self.image, "gradient": self.gradient, "density": self.density,
        }  # fmt: skip


@dataclass(kw_only=True)
class Autodecoder:
    """Everything a step changes."""

    generator: Generator
    codes: Codes
    optimizer: torch.optim.Adam
    average: Generator
    average_codes: Codes
    step: int = 0

    def tree(self) -> Tree:
        return {
            "generator": self.generator.state_dict(), "codes": self.codes.state_dict(),
            "average": self.average.state_dict(), "average_codes": self.average_codes.state_dict(),
            "optimizer": optimizer_tree(self.optimizer),
        }  # fmt: skip

    def load(self, step: int, tree: Tree) -> None:
        self.step = step
        for name in ("generator", "codes", "average", "average_codes"):
            getattr(self, name).load_state_dict(tree[name])
        load_optimizer(self.optimizer, tree["optimizer"])


def make_autodecoder(generator: Generator, codes: Codes, settings: AutodecoderSettings) -> Autodecoder:
    """The mapping network is not trained here: nothing is sampled (pipelines.prior.train.sampler)."""
    for parameter in generator.groups()["mapping"]:
        parameter.requires_grad_(False)
    looked_up = [parameter for role in LOOKED_UP for parameter in learned_of(generator, role)]
    groups = [
        {"params": learned_in_layers(generator), "lr": settings.learning_rate},
        {"params": looked_up, "lr": settings.planes_learning_rate},
        {"params": list(codes.parameters()), "lr": settings.codes_learning_rate},
    ]
    optimizer = torch.optim.Adam([group for group in groups if group["params"]], betas=(0.9, 0.99), fused=True)
    for group in optimizer.param_groups:
        group["base_lr"] = group["lr"]
    average, average_codes = copy.deepcopy(generator), copy.deepcopy(codes)
    for network in (average, average_codes):
        network.eval().requires_grad_(False)
    return Autodecoder(
        generator=generator, codes=codes, optimizer=optimizer, average=average, average_codes=average_codes
    )  # fmt: skip


def autodecoder_step(model: Autodecoder, truth: Truth, settings: AutodecoderSettings) -> dict[str, float]:
    """One step of Adam on a few states; figures of the parts of the loss."""
    random = keyed(settings.seed, model.step, "autodecoder")
    truth.load(model.step // settings.exchange_every)
    set_rate(model.optimizer, model.step / settings.steps, settings.final_rate)
    views = truth.draw(settings.latents, settings.views, random)
    w = model.codes(views.person, views.labels)
    losses = patch_losses(model.generator, w, views, settings, random)
    own = model.codes.own[views.person].square().sum(1).mean()
    total = settings.own * own + losses["color"]
    for name, weight in settings.weights.items():
        total = total + weight * losses[name]
    model.optimizer.zero_grad(set_to_none=True)
    total.backward()
    clean_gradients([*model.generator.parameters(), *model.codes.parameters()])
    model.optimizer.step()
    model.step += 1
    _average(model, settings)
    return {name: float(value.detach()) for name, value in losses.items()}


def patch_losses(
    generator: Generator, w: Tensor, views: Views, settings: AutodecoderSettings, random: torch.Generator
) -> dict[str, Tensor]:
    """Color, alpha, depth, image, gradient and density losses of w [L,w_dim] on one patch of each of the L*V views."""
    size = generator.raw_size
    scale = generator.image_size // size
    behind = (views.camera.world_from_camera[:, 2, 2] > BEHIND).float().view(-1, 1, 1, 1)
    extra = settings.detail * views.detail + settings.back * behind * views.alpha
    alpha, detail = shrunk(views.alpha, size), shrunk(extra, size)
    patches = Patches(patch_corners(alpha, detail, settings.patch, random), settings.patch)
    scene = generator.prepare(Control(ws=broadcast(w, generator.latent.num_ws)))
    rays = patches.rays(alpha, len(w), settings.background_rays, random)
    camera, cosine = patches.cameras(views.camera, size)
    how = RenderSettings(
        sampling=replace(generator.config.sampling("random"), generator=random), raw_size=patches.side, rays=rays,
        background=gray(alpha), patch=True,
    )  # fmt: skip
    shown, marched = generator.render(scene, camera, how), patches.marched(rays, len(alpha))
    true_alpha, true_image = patches.cut(alpha), patches.cut(views.image, scale)
    distance = patches.cut(shrunk_depth(views.depth, size)) / cosine
    fine = patches.inner(scale) * (1 + patches.cut(extra, scale))
    return {
        "color": color_loss(shown.raw, patches.cut(shrunk(views.image, size)), marched * (1 + patches.cut(detail))),
        "alpha": weighted_mean((shown.alpha - true_alpha).abs(), marched),
        "depth": weighted_mean((shown.depth - distance).abs(), marched * (true_alpha > SOLID).float()),
        "image": color_loss(shown.image, true_image, fine),
        "gradient": gradient_loss(shown.image, true_image, fine),
        "density": smooth_density(scene, random, points=500),
    }


@dataclass(frozen=True)
class Patches:
    """A square in each of N raw images."""

    corner: list[tuple[int, int]]
    """Top and left, raw pixels."""
    side: int

    def cut(self, values: Tensor, scale: int = 1) -> Tensor:
        """[N,C,R,R] -> [N,C,P,P] of raw images; of images `scale` times larger -> [N,C,scale P,scale P]."""
        side = scale * self.side
        parts = zip(values, self.corner, strict=True)
        return torch.stack([one[:, scale * top :, scale * left :][:, :side, :side] for one, (top, left) in parts])

    def inner(self, scale: int) -> Tensor:
        """[1,1,scale P,scale P] 1 inside the border that sees the padding."""
        mask, border = torch.zeros(1, 1, scale * self.side, scale * self.side), scale * BORDER
        mask[..., border:-border, border:-border] = 1.0
        return mask

    def rays(self, alpha: Tensor, heads: int, background: float, random: torch.Generator) -> Tensor:
        """[heads,K] ray numbers over the patches of a head: those near alpha [N,1,R,R], and a share of the others."""
        near = self.cut(F.max_pool2d((alpha > 0.01).float(), 5, stride=1, padding=2)).view(heads, -1) > 0.5
        return choose_rays(near, torch.ones(heads, 1, near.shape[1]), background, random)

    def marched(self, rays: Tensor, count: int) -> Tensor:
        """[count,1,P,P] 1 where a ray of [heads,K] is."""
        total = count // len(rays) * self.side**2
        return torch.zeros(len(rays), total).scatter(1, rays, 1.0).view(count, 1, self.side, self.side)

    def cameras(self, camera: Camera, size: int) -> tuple[Camera, Tensor]:
        """The cameras of the patches of raw images of `size`, and the cosine [N,1,P,P] between ray and axis: depth along
        z over it is depth along the ray."""
        side = self.side
        boxes = torch.tensor([[left, top, left + side, top + side] for top, left in self.corner]).float() / size
        cropped = camera.cropped(boxes)
        cosine = (cropped.rays(side)[1] * camera.world_from_camera[:, None, :3, 2]).sum(-1)
        return cropped, cosine.view(-1, 1, side, side)


def patch_corners(alpha: Tensor, detail: Tensor, side: int, random: torch.Generator) -> list[tuple[int, int]]:
    """Top and left of a patch in each of the raw images [N,1,R,R]: around a random pixel of the head, likelier where detail is.

    The patch stays in the image.
    """
    size = alpha.shape[-1]
    odds = (alpha * (1 + detail) + 0.02).flatten(1)
    center = torch.multinomial(odds, 1, generator=random)[:, 0]
    shift = torch.randint(-side // 4, side // 4 + 1, (2, len(alpha)), generator=random)
    top = (center // size - side // 2 + shift[0]).clamp(0, size - side)
    left = (center % size - side // 2 + shift[1]).clamp(0, size - side)
    return list(zip(top.tolist(), left.tolist(), strict=True))


def set_rate(optimizer: torch.optim.Optimizer, done: float, final: float) -> None:
    """Rising over the first hundredth, full to the half, then a cosine to `final`."""
    cosine = 0.5 * (1 + math.cos(math.pi * max(done - 0.5, 0.0) / 0.5))
    factor = min(done / 0.01 + 0.01, 1.0) * (final + (1 - final) * cosine)
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


@torch.no_grad()
def _average(model: Autodecoder, settings: AutodecoderSettings) -> None:
    decay = min(settings.average, model.step / (model.step + 20))
    for ours, theirs in ((model.average, model.generator), (model.average_codes, model.codes)):
        for kept, value in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            kept.copy_(value.lerp(kept, decay) if value.is_floating_point() else value)
