"""Where in the prior a person begins: who of its people is nearest, and what the prior shows of views that were never filmed.

Before anything of the generator moves, one latent of the whole person and one for each frame are fitted (GAN inversion). Then
views from sides that no training camera saw are rendered once and kept: fine-tuning goes on seeing them, or it would forget
what a head looks like from there while it learns the front.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera, orbit
from models.generator import Control, Generator, RenderSettings
from models.heads.expression_map import broadcast
from models.rendering.sampling import Sampling
from models.training.photometric import color_loss, weighted_mean
from pipelines.artifacts.dataset import GRAY
from pipelines.artifacts.prior import PriorCodes
from pipelines.core.stage import Progress
from pipelines.engine.keyed_random import keyed
from pipelines.train.frames import Frames
from pipelines.train.ray_subset import choose_rays, foreground, gray, marched_of
from pipelines.train.remembered_views import Views

PEOPLE_RATE, LABEL_RATE = 0.05, 0.05
"""Adam's learning rates of the person's coordinates and of the frames' labels, in standard deviations."""
UNLIKELY = 2.5e-4
"""Weight of the squared coordinates of a person: a person is like other people."""
STRONG = 5e-4
"""Weight of the squared labels of a frame."""
AROUND = torch.arange(16) * (math.pi / 8) + math.pi / 16
UP = torch.tensor([0.42, 0.5, 0.6]) * math.pi
"""Where views to remember are taken (`models.camera.orbit`): every 22.5 degrees, from 9 degrees above to 12 below."""
FADE = 0.06
"""Head units below a matte's end over which remembered views fade out."""
NEAR_DEG = 25.0
"""A view this near to a training camera was filmed."""


def invert(
    generator: Generator, codes: PriorCodes, frames: Frames, how: Callable[[torch.Generator], Sampling], *, steps: int,
    batch: int, seed: int, progress: Progress,
) -> Tensor:  # fmt: skip
    """The person's latent [w_dim], base + a P among the prior's people P.

    Frame i is explained by base + a P + e_i spread B, in photometric distance of the raw image at half the rays; the generator
    stands still. What the faces do (e) is only held apart from who they belong to: a frame comes too rarely to know it.
    """
    device = frames.image.device
    generator.requires_grad_(False)
    known = codes.base, codes.people, codes.spread[:, None] * codes.directions
    base, people, directions = (torch.from_numpy(value).to(device) for value in known)
    seen = Seen(frames, generator.raw_size // 2)
    who = torch.zeros(len(people), device=device, requires_grad=True)
    does = torch.zeros(len(frames), len(directions), device=device, requires_grad=True)
    groups = [{"params": [who], "lr": PEOPLE_RATE}, {"params": [does], "lr": LABEL_RATE}]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    with progress.task("fitting the person in the prior", steps) as task:
        for number in range(steps):
            random = keyed(seed, number, "inversion")
            chosen = torch.randperm(len(frames), generator=random)[:batch]
            w = base + who @ people + does[chosen] @ directions
            loss = seen.distance(generator, w, chosen, how(random), random)
            likely = UNLIKELY * who.square().sum() + STRONG * does[chosen].square().sum(1).mean()
            optimizer.zero_grad(set_to_none=True)
            (loss + likely).backward()
            optimizer.step()
            task.advance()
    return (base + who @ people).detach()


class Seen:
    """The training frames at a small raw size."""

    def __init__(self, frames: Frames, size: int):
        self.frames, self.size = frames, size
        self.image, self.alpha, self.inside, self.detail = frames.raw(size)
        self.covered = foreground(self.alpha)

    def distance(self, generator: Generator, w: Tensor, chosen: Tensor, how: Sampling, random: torch.Generator) -> Tensor:
        """Photometric distance of the raw images of w [B,w_dim] to the chosen frames, colors and mattes."""
        rays = choose_rays(self.covered[chosen], self.inside[chosen], 0.2, random)
        scene = generator.prepare(Control(ws=broadcast(w, generator.latent.num_ws)))
        settings = RenderSettings(sampling=how, raw_size=self.size, rays=rays, background=gray(w), raw_only=True)
        shown = generator.render(scene, self.frames.camera[chosen], settings)
        known = self.inside[chosen] * marched_of(rays, self.size)
        matte = weighted_mean((shown.alpha - self.alpha[chosen]).abs(), known)
        return color_loss(shown.raw, self.image[chosen], known * (1 + self.detail[chosen])) + matte


def unseen_views(generator: Generator, person: Tensor, frames: Frames, how: Sampling, zoom: float = 1.0) -> Views | None:
    """Renders of the person from around, where no training camera is near, at the median distance and `zoom` times the median
    focal length: in the prior's own square, since beyond it the prior knows nothing worth remembering.

    None when the frames show the person from everywhere.
    """
    seen = F.normalize(frames.camera.world_from_camera[:, :3, 3], dim=1)
    distance = float(frames.camera.world_from_camera[:, :3, 3].norm(dim=1).median())
    h, v = (value.flatten() for value in torch.meshgrid(AROUND, UP, indexing="ij"))
    poses = orbit(h, v, distance).to(seen.device)
    far = (F.normalize(poses[:, :3, 3], dim=1) @ seen.mT).amax(1) < math.cos(math.radians(NEAR_DEG))
    if not far.any():
        return None
    intrinsics = frames.camera.intrinsics.median(0, keepdim=True).values.clone()
    intrinsics[:, [0, 1], 2] = 0.5
    intrinsics[:, :2, :2] *= zoom
    camera = Camera(world_from_camera=poses[far], intrinsics=intrinsics.expand(int(far.sum()), -1, -1))
    settings = RenderSettings(sampling=how, background=gray(person))
    with torch.no_grad():
        scene = generator.prepare(Control(ws=broadcast(person[None], generator.latent.num_ws)))
        shown = [generator.render(scene, camera[n], settings) for n in range(len(camera))]
    raw, alpha, depth = (torch.cat([getattr(one, name) for one in shown]) for name in ("raw", "alpha", "depth"))
    kept = above(camera, depth, lowest(frames))
    return Views(camera=camera, raw=GRAY + kept * (raw - GRAY), alpha=kept * alpha)


def lowest(frames: Frames) -> float:
    """Height y, head units, at which the frames' head mattes end below: the median over the frames, on the plane z = 0."""
    size = frames.alpha.shape[-1]
    solid = frames.alpha[:, 0] > 0.5
    rows = torch.arange(size, device=solid.device)
    row = (solid.any(2) * rows).amax(1)
    inside = solid[torch.arange(len(solid)), row].float()
    column = (inside * rows).sum(1) / inside.sum(1).clamp(min=1)
    origins, directions = frames.camera.rays(size)
    ray = (row * size + column.round().long())[:, None, None].expand(-1, 1, 3)
    origin, direction = origins[:, 0], directions.gather(1, ray)[:, 0]
    return float((origin[:, 1] - direction[:, 1] * origin[:, 2] / direction[:, 2]).median())


def above(camera: Camera, depth: Tensor, y: float) -> Tensor:
    """[B,1,h,w] 1 where the surface at `depth` [B,1,h,w] lies above y, falling to 0 over `FADE` below it: what the prior's
    people wear is nobody's whose matte ends there."""
    origins, directions = camera.rays(depth.shape[-1])
    height = (origins + depth.flatten(2).mT * directions)[..., 1]
    return ((height - y) / FADE + 1).clamp(0, 1).view_as(depth)
