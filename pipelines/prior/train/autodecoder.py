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
from models.eg3d.generator import EG3D
from models.heads.expression_map import broadcast
from models.rendering.compositing import over
from models.training.losses import density_smoothness
from models.training.photometric import color_loss, gradient_loss, weighted_mean
from models.training.schedules import clean_gradients
from pipelines.engine.checkpoint import Tree, load_optimizer, optimizer_tree
from pipelines.engine.keyed_random import keyed
from pipelines.prior.train.codes import Codes
from pipelines.prior.train.truth import Truth, Views, shrunk, shrunk_depth
from pipelines.train.ray_subset import choose_rays, gray, scattered
from pipelines.train.trainer import FREE_PLANES

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

    generator: EG3D
    codes: Codes
    optimizer: torch.optim.Adam
    average: EG3D
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


def make_autodecoder(generator: EG3D, codes: Codes, settings: AutodecoderSettings) -> Autodecoder:
    """The mapping network is not trained here: nothing is sampled (pipelines.prior.train.sampler)."""
    generator.backbone.mapping.requires_grad_(False)
    named = [(name, value) for name, value in generator.named_parameters() if value.requires_grad]
    groups = [
        {"params": [value for name, value in named if name not in FREE_PLANES], "lr": settings.learning_rate},
        {"params": [value for name, value in named if name in FREE_PLANES], "lr": settings.planes_learning_rate},
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
    generator: EG3D, w: Tensor, views: Views, settings: AutodecoderSettings, random: torch.Generator
) -> dict[str, Tensor]:
    """Color, alpha, depth, image, gradient and density losses of w [L,w_dim] on one patch of each of the L*V views."""
    size = generator.config.neural_rendering_resolution
    scale = generator.image_size // size
    behind = (views.camera.world_from_camera[:, 2, 2] > BEHIND).float().view(-1, 1, 1, 1)
    extra = settings.detail * views.detail + settings.back * behind * views.alpha
    alpha, detail = shrunk(views.alpha, size), shrunk(extra, size)
    patches = Patches(patch_corners(alpha, detail, settings.patch, random), settings.patch)
    ws = broadcast(w, generator.latent.num_ws)
    planes = generator.planes(ws)
    shown = patches.render(generator, planes, views.camera, alpha, settings.background_rays, random)
    features, opaque, marched = shown.features, shown.alpha, shown.marched
    wide = generator.super_resolve(features, ws.repeat_interleave(len(features) // len(w), 0), patch=True)
    image, raw = over(wide, opaque, gray(opaque)), over(features[:, :3], opaque, gray(opaque))
    true_alpha, true_image = patches.cut(alpha), patches.cut(views.image, scale)
    distance = patches.cut(shrunk_depth(views.depth, size)) / shown.cosine
    fine = patches.inner(scale) * (1 + patches.cut(extra, scale))
    return {
        "color": color_loss(raw, patches.cut(shrunk(views.image, size)), marched * (1 + patches.cut(detail))),
        "alpha": weighted_mean((opaque - true_alpha).abs(), marched),
        "depth": weighted_mean((shown.depth - distance).abs(), marched * (true_alpha > SOLID).float()),
        "image": color_loss(image, true_image, fine),
        "gradient": gradient_loss(image, true_image, fine),
        "density": _roughness(generator, planes, random),
    }


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Rendered patches, P the side of a patch in rays."""

    features: Tensor
    """[N,C,P,P] over black."""
    depth: Tensor
    """[N,1,P,P] along the ray, head units."""
    alpha: Tensor
    """[N,1,P,P]"""
    marched: Tensor
    """[N,1,P,P] 1 where a ray was marched."""
    cosine: Tensor
    """[N,1,P,P] of the angle between ray and optical axis: depth along z over it is depth along the ray."""


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

    def render(
        self, generator: EG3D, planes: Tensor, camera: Camera, alpha: Tensor, background: float, random: torch.Generator
    ) -> Shown:
        """Rays near alpha [N,1,R,R], and a share of the others, through the planes [L,...] of L latents, N/L cameras each."""
        latents, count = len(planes), len(alpha) // len(planes) * self.side**2
        origins, directions, cosine = _rays_of(camera, alpha.shape[-1], self.corner, self.side)
        near = self.cut(F.max_pool2d((alpha > 0.01).float(), 5, stride=1, padding=2)).view(latents, -1) > 0.5
        chosen = choose_rays(near, torch.ones(latents, 1, count), background, random)
        take = chosen[..., None].expand(-1, -1, 3)
        rays = (value.reshape(latents, -1, 3).gather(1, take) for value in (origins, directions))
        rendered = generator.render_rays(planes, *rays, sampling=replace(generator.config.sampling("random"), generator=random))

        def whole(values: Tensor, empty: float) -> Tensor:
            return scattered(values, chosen, count, empty).view(len(alpha), self.side, self.side, -1).permute(0, 3, 1, 2)

        features, depth, opaque = (whole(value, empty) for value, empty in zip(rendered, (-1.0, 0.0, 0.0), strict=True))
        marched = whole(torch.ones(*chosen.shape, 1), 0.0)
        return Shown(features=features, depth=depth, alpha=opaque, marched=marched, cosine=cosine)


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


def _rays_of(camera: Camera, size: int, corner: list[tuple[int, int]], side: int) -> tuple[Tensor, Tensor, Tensor]:
    """Origins and directions [N,side*side,3] of the patches, and the cosine [N,1,side,side] to the optical axis."""
    boxes = torch.tensor([[left, top, left + side, top + side] for top, left in corner]).float() / size
    origins, directions = camera.cropped(boxes).rays(side)
    cosine = (directions * camera.world_from_camera[:, None, :3, 2]).sum(-1)
    return origins, directions, cosine.view(-1, 1, side, side)


def _roughness(generator: EG3D, planes: Tensor, random: torch.Generator) -> Tensor:
    """Density of neighbors 0.004 units apart, anywhere in the box."""
    points = (torch.rand(len(planes), 500, 3, generator=random) * 2 - 1) * (generator.config.box_warp / 2)
    twins = points + 0.004 * torch.randn(points.shape, generator=random)
    return density_smoothness(*generator.density_at(planes, torch.cat([points, twins], 1)).chunk(2, dim=1))


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
