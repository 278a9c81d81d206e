"""mapping(z) of an auto-decoded generator: the mapping network learns to draw people and faces as they were in the data.

Target: w(z) = mean + sum_k z_k s_k d_k over the principal directions of the people's latents, + labels(z) B with
labels(z) = clip(m + sum_k z'_k t_k c_k, low, high) over the principal components of the states' labels. The network only has to
imitate a formula, so no adversary is needed and no mode can be lost.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.generator import Generator
from models.networks.stylegan2.layers import normalize_second_moment
from pipelines.engine.keyed_random import keyed

BATCH = 512


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """The formula; half of z is who, half is which face."""

    mean: Tensor
    """[w_dim] neutral mean person."""
    people: Tensor
    """[K,w_dim] principal directions of the people, each one standard deviation long."""
    label_mean: Tensor
    label_parts: Tensor
    """[M,E] principal components of the states' labels, each one standard deviation long."""
    low: Tensor
    high: Tensor
    directions: Tensor
    """[E,w_dim] what a label does to w."""

    def __call__(self, z: Tensor) -> Tensor:
        """[B,z_dim] -> [B,w_dim]; z is normalized as the mapping network does it."""
        z = normalize_second_moment(z)
        first, second = len(self.people), len(self.people) + len(self.label_parts)
        return self.mean + z[:, :first] @ self.people + self.labels(z[:, first:second]) @ self.directions

    def labels(self, z: Tensor) -> Tensor:
        """[B,M] -> labels [B,E] within what occurs."""
        return torch.clamp(self.label_mean + z @ self.label_parts, self.low, self.high)


def make_sampler(people: Tensor, labels: Tensor, directions: Tensor, z_dim: int) -> Sampler:
    """Of the people's neutral latents [P,w_dim], the states' labels [S,E] and directions [E,w_dim]."""
    label_parts = _principal(labels, min(z_dim // 2, 24))
    return Sampler(
        mean=people.mean(0), people=_principal(people, min(z_dim // 2, z_dim - len(label_parts))),
        label_mean=labels.mean(0), label_parts=label_parts, low=labels.amin(0), high=labels.amax(0), directions=directions,
    )  # fmt: skip


def _principal(rows: Tensor, most: int) -> Tensor:
    _, scale, directions = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    kept = min(most, len(scale))
    return directions[:kept] * (scale[:kept] / max(len(rows) - 1, 1) ** 0.5)[:, None]


def fit_mapping(generator: Generator, sampler: Sampler, steps: int = 1000, seed: int = 0) -> float:
    """Train the mapping network on the formula and set w_avg; the share of the variance of w that it misses."""
    mapping, latent = generator.groups()["mapping"], generator.latent
    for parameter in mapping:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(mapping, betas=(0.9, 0.99))
    spread = sampler(_latents(4096, latent.z_dim, seed, -1)).var(0).sum()
    for number in range(steps):
        done = number / steps
        for group in optimizer.param_groups:  # weights are stored a hundred times larger than used
            group["lr"] = (1 - done) ** 1.5 + 1e-3
        z = _latents(BATCH, latent.z_dim, seed, number)
        loss = (generator.mapping(z)[:, 0] - sampler(z)).square().sum(1).mean() / spread
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    for parameter in mapping:
        parameter.requires_grad_(False)
    with torch.no_grad():
        z = _latents(4096, latent.z_dim, seed, -2)
        found, wanted = generator.mapping(z)[:, 0], sampler(z)
        generator.mean_latent.copy_(found.mean(0))
        return float(F.mse_loss(found, wanted, reduction="sum") / len(z) / spread)


def _latents(count: int, z_dim: int, seed: int, number: int) -> Tensor:
    return torch.randn(count, z_dim, generator=keyed(seed, number, "mapping"))
