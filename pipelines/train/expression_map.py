"""Train the expression-mapping network against the frozen generator (GAN-Avatar section 3.2).

The paper's own Table 3 finds the loss in w space as good as the one in image space, and it costs seconds; the image loss is
a setting (`image_steps`).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from models.generator import Control, Generator, RenderSettings, rendered
from models.heads.expression_map import ExpressionMap, broadcast, principal_directions, standardization
from models.rendering.sampling import Sampling
from pipelines.core.stage import Progress
from pipelines.engine.keyed_random import keyed
from pipelines.train.pairs import Pairs
from pipelines.train.settings import MapSettings


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How well held-out pairs are mapped: share of the variance of w explained, 1 is perfect, 0 is the mean."""

    train: float
    held_out: float


def fit_expression_map(
    pairs: Pairs, generator: Generator, frontal: Camera, settings: MapSettings, *, seed: int, how: Sampling, progress: Progress
) -> tuple[ExpressionMap, Fit]:
    """e -> w by AdamW on the squared distance in w, then optionally on the paper's photometric distance."""
    device = next(generator.parameters()).device
    w, expression = (torch.from_numpy(values).float().to(device) for values in (pairs.w, pairs.expression))
    train = torch.from_numpy(~pairs.held_out).to(device)
    network = make_map(expression[train], w[train], generator, settings, seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    with progress.task("expression map", settings.steps + settings.image_steps) as task:
        for step in range(settings.steps):
            optimizer.zero_grad(set_to_none=True)
            jitter = torch.randn(expression[train].shape, generator=keyed(seed, step, "map steps")).to(device)
            F.mse_loss(network.w(expression[train] + settings.noise * network.std * jitter), w[train]).backward()
            optimizer.step()
            task.advance()
        for step in range(settings.image_steps):
            optimizer.zero_grad(set_to_none=True)
            chosen = train.nonzero()[:, 0][torch.randint(int(train.sum()), (8,), generator=keyed(seed, step, "image steps"))]
            image_loss(network, generator, expression[chosen], w[chosen], frontal, how).backward()
            optimizer.step()
            task.advance()
    return network.eval(), Fit(
        train=explained(network, expression[train], w[train]), held_out=explained(network, expression[~train], w[~train])
    )


def make_map(expression: Tensor, w: Tensor, generator: Generator, settings: MapSettings, seed: int) -> ExpressionMap:
    mean, std = standardization(expression)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        basis = principal_directions(w, settings.directions)
        network = ExpressionMap(
            mean=mean, std=std, mean_w=w.mean(0), basis=basis, hidden=settings.hidden, latent=generator.latent
        )
    return network.to(w.device)


def image_loss(
    network: ExpressionMap, generator: Generator, expression: Tensor, w: Tensor, frontal: Camera, how: Sampling
) -> Tensor:
    """L1 between the render of the mapped latent and of the true one, the generator frozen (paper, equation 3)."""
    camera = frontal[torch.zeros(len(w), dtype=torch.long)]
    settings = RenderSettings(sampling=how)
    with torch.no_grad():
        truth = rendered(generator, Control(ws=broadcast(w, generator.latent.num_ws)), camera, settings).image
    return F.l1_loss(rendered(generator, Control(ws=network(expression)), camera, settings).image, truth)


def explained(network: ExpressionMap, expression: Tensor, w: Tensor) -> float:
    """1 - residual variance / variance of w; NaN without rows."""
    if len(w) == 0:
        return float("nan")
    with torch.no_grad():
        residual = (network.w(expression) - w).square().sum()
    return float(1 - residual / (w - network.mean_w).square().sum().clamp(min=1e-12))
