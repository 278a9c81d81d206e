"""Which rays of a picture are marched, and the pictures made of them.

Only rays that may hit the head, and some of the background, are worth a step; the others are empty.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from models.compute_mode import EXACT, Compute
from models.eg3d.generator import EG3D
from models.generator import Rendering
from models.heads.expression_map import broadcast
from models.rendering.compositing import over
from models.rendering.sampling import Sampling
from pipelines.artifacts.dataset import GRAY


def render_chosen(
    generator: EG3D, w: Tensor, camera: Camera, rays: Tensor, how: Sampling, size: int, compute: Compute = EXACT
) -> Rendering:
    """March only the ray numbers [B,K]; the others are empty. Images over mid gray."""
    ws = broadcast(w, generator.latent.num_ws)
    features, depth, alpha = march_chosen(generator, ws, camera, rays, how, size, compute)
    image = generator.super_resolve(features, ws, compute)
    image = over(generator.painted(image, ws, camera, depth=depth, alpha=alpha, compute=compute), alpha, gray(alpha))
    return Rendering(image=image, raw=over(features[:, :3], alpha, gray(alpha)), depth=depth, alpha=alpha)


def march_chosen(
    generator: EG3D, ws: Tensor, camera: Camera, rays: Tensor, how: Sampling, size: int, compute: Compute = EXACT
) -> tuple[Tensor, Tensor, Tensor]:
    """Features [B,C,size,size], depth and alpha [B,1,size,size] of the ray numbers [B,K]; the others are empty."""
    planes = generator.planes(ws, compute=compute)
    take = rays[..., None].expand(-1, -1, 3)
    chosen = (value.gather(1, take) for value in camera.rays(size))
    rendered = generator.render_rays(planes, *chosen, sampling=how, compute=compute)

    def whole(values: Tensor, empty: float) -> Tensor:
        return scattered(values, rays, size * size, empty).mT.reshape(len(values), -1, size, size)

    features, depth, alpha = (whole(values, empty) for values, empty in zip(rendered, (-1.0, 0.0, 0.0), strict=True))
    return features, depth, alpha


def scattered(values: Tensor, rays: Tensor, count: int, empty: float) -> Tensor:
    """[B,count,C] with values [B,K,C] at the ray numbers [B,K], `empty` elsewhere."""
    full = values.new_full((len(values), count, values.shape[2]), empty)
    return full.scatter(1, rays[..., None].expand_as(values), values)


def marched_of(rays: Tensor, size: int) -> Tensor:
    """[B,1,size,size] 1 where a ray number of [B,K] is."""
    return torch.zeros(len(rays), size * size, device=rays.device).scatter(1, rays, 1.0).view(-1, 1, size, size)


def gray(like: Tensor) -> Tensor:
    return like.new_full((1, 3, 1, 1), GRAY)


def foreground(raw_alpha: Tensor, margin: int = 2) -> Tensor:
    """[N,1,R,R] matte -> bool [N,R*R]: rays that may hit the head, grown by `margin` raw pixels."""
    grown = F.max_pool2d((raw_alpha > 0.01).float(), 2 * margin + 1, stride=1, padding=margin)
    return grown.flatten(1) > 0.5


def choose_rays(foreground: Tensor, inside: Tensor, background_share: float, random: torch.Generator) -> Tensor:
    """Row-major ray numbers [B,K]: every foreground ray and a random share of the others, padding rays last.

    K is the same for the whole batch, so images with a smaller head get more background rays. Some background has to stay,
    else density floats in front of it unseen.
    """
    empty = (~foreground).sum(1)
    count = int((foreground.sum(1) + (background_share * empty).long()).max())
    score = foreground.float() * 4 + torch.rand(foreground.shape, generator=random).to(foreground.device)
    score = score - 8 * (inside.flatten(1) < 0.5).float()
    return score.topk(min(count, foreground.shape[1]), dim=1).indices
