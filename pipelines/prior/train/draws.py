"""Where the z of a training's pictures come from: normal numbers, or those with likely faces in them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from models.families import Family
from pipelines.artifacts.face_sampler import FaceSampler
from pipelines.core.errors import SettingError

Draw = Callable[[int, torch.Generator], Tensor]
"""How many, and random numbers -> z [N,z_dim] on the CPU."""


def normal_draw(z_dim: int) -> Draw:
    return lambda count, random: torch.randn(count, z_dim, generator=random)


def faces_draw(family: Family, config: Any, faces: FaceSampler) -> Draw:
    """Normal numbers with drawn coefficients in place; SettingError for a family or config that they do not fit."""
    compose = family.compose
    if compose is None:
        raise SettingError(f"faces: the codes of the family {family.name} have no part for a face model's coefficients.")
    plain = normal_draw(config.z_dim)

    def draw(count: int, random: torch.Generator) -> Tensor:
        return compose(config, plain(count, random), faces.sample(count, random))

    try:
        draw(1, torch.Generator())
    except ValueError as error:
        raise SettingError(f"faces: {error}.") from error
    return draw
