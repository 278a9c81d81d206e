"""From a published or shipped network to one person's (GAN-Avatar section 3.1): configs, and weights that fit them.

Two things change: the mapping no longer sees a camera, so that no expression follows the view, and rays are marched where they
are in the box, because a phone's cameras stand at any distance. Where planes are free, the person gets some more.
"""

from dataclasses import replace

import torch
from torch import Tensor

from models.eg3d.config import PERSON_PLANES, QUICK, EG3DConfig
from models.image_sizes import fields_of_size

FREE = ("basis_planes", "basis_weights.weight", "basis_weights.bias")
SIZED, PAINT = "superresolution.", "paint."
MOST_PAINT = 512
"""Texels a side: 24 moving sets of twice as many would take a gigabyte with their optimizer."""


def resized(config: EG3DConfig, size: int) -> EG3DConfig:
    """The same head at another image size."""
    return config if config.image_size == size else replace(config, **fields_of_size(size))


def personal(config: EG3DConfig, *, paint: int, from_prior: bool) -> EG3DConfig:
    """No camera in the mapping, rays wherever the head is, `paint` texels a pixel on the surface; beside a prior's weights some
    free planes of the person's own."""
    spare = PERSON_PLANES if from_prior and config.basis_planes else 0
    return replace(
        config, c_gen_conditioning_zero=True, ray_start="auto", ray_end="auto", basis_planes=config.basis_planes + spare,
        paint=min(paint * config.image_size, MOST_PAINT),
    )  # fmt: skip


def fresh(config: EG3DConfig) -> EG3DConfig:
    """A network that starts from random weights has the laptop's config, whatever helps a prior that knows people by name."""
    return QUICK


def transfer(state: dict[str, Tensor], own: dict[str, Tensor], *, resized: bool = False) -> dict[str, Tensor]:
    """The prior's state with a person's paint, and further free planes behind the prior's: empty, moved by random weights."""
    if resized:
        state = {name: value for name, value in state.items() if not name.startswith(SIZED)}
        state |= {name: value for name, value in own.items() if name.startswith(SIZED)}
    result = {name: value for name, value in own.items() if name == "back_plane" or name.startswith(PAINT)} | state
    for name in FREE:
        if name in own and len(own[name]) > len(state[name]):
            added = own[name][len(state[name]) :]
            added = torch.zeros_like(added) if name == "basis_planes" else added
            result[name] = torch.cat([state[name].to(added.dtype), added])
    return result
