"""Which rays of a picture are marched in a training step.

Only rays that may hit the head, and some of the background, are worth a step; the others are empty.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.artifacts.dataset import GRAY


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
