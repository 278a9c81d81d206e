"""Losses on a scene that no picture is needed for (models.families.Regularizer)."""

import torch
from torch import Tensor

from models.generator import Scene
from models.training.losses import density_smoothness

POINTS = 1000
DISTANCE = 0.004
"""Standard deviation of a point's distance from its twin, head units."""


def smooth_density(
    scene: Scene, random: torch.Generator, *, points: int = POINTS, distance: float = DISTANCE, side: float | None = None
) -> Tensor:
    """EG3D's `l1`: neighbors anywhere in the box, or in a cube of `side`, have like raw density."""
    half = (scene.box_size if side is None else side) / 2
    spots = (torch.rand(len(scene.control), points, 3, generator=random) * 2 - 1) * half
    twins = spots + distance * torch.randn(spots.shape, generator=random)
    both = torch.cat([spots, twins], 1).to(scene.control.ws.device)
    return density_smoothness(*scene.density(both).chunk(2, dim=1))
