"""Where the z of a training's pictures come from, and who teaches what they mean."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.families import Family, Guide
from models.head_frame import HeadFrame
from pipelines.artifacts.face_sampler import FaceSampler
from pipelines.core.errors import SettingError

Draw = Callable[[int, torch.Generator], Tensor]
"""How many, and random numbers -> z [N,z_dim] on the CPU."""


def normal_draw(z_dim: int) -> Draw:
    return lambda count, random: torch.randn(count, z_dim, generator=random)


def guide_of(family: Family, config: Any, face_model: Path, frame: HeadFrame, device: str) -> Guide:
    """The face model as a teacher; SettingError for a family, config or file that do not fit."""
    if family.guide is None:
        raise SettingError(f"face_model: the codes of the family {family.name} have no part for a face model's coefficients.")
    try:
        return family.guide(config, face_model, frame, device)
    except (OSError, ValueError) as error:
        raise SettingError(f"face_model: {error}.") from error


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
