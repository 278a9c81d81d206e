"""From a prior to one person's network: what changes in the config, and weights that fit it.

The mapping no longer sees a camera, and rays are marched where they are in the box. Nothing is added: these families have
neither free planes nor paint.
"""

from dataclasses import replace
from typing import TypeVar

from torch import Tensor

from models.image_sizes import fields_of_size
from models.trigrid.config import TrigridConfig

Config = TypeVar("Config", bound=TrigridConfig)
SIZED = ("superresolution.", "bcg_synthesis.")
"""The background is painted at the size that super-resolution starts from."""


def resized(config: Config, size: int) -> Config:
    """The same head at another image size."""
    return config if config.image_size == size else replace(config, **fields_of_size(size))


def personal(config: Config, *, paint: int, from_prior: bool) -> Config:
    """No camera in the mapping, rays wherever the head is."""
    return replace(config, c_gen_conditioning_zero=True, ray_start="auto", ray_end="auto")


def fresh(config: Config) -> Config:
    return config


def transfer(state: dict[str, Tensor], own: dict[str, Tensor], *, resized: bool = False) -> dict[str, Tensor]:
    """The prior's state; at another image size the background and the super-resolution are fresh."""
    if not resized:
        return state
    kept = {name: value for name, value in state.items() if not name.startswith(SIZED)}
    return kept | {name: value for name, value in own.items() if name.startswith(SIZED)}
