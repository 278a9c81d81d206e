"""What goes into z: noise and a face model's coefficients, each over its scale (3DFaceShop sections 4.1 and 4.2; spec 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.faceshop.config import Block, FaceShopConfig

PARTS = ("shape", "albedo", "expression", "light")


@dataclass(frozen=True, kw_only=True, eq=False)
class Coefficients:
    """A face, its expression and its light in the face model's units, and the noise that no model explains; a row a face."""

    noise: Tensor
    """[B,noise_dim] standard normal."""
    shape: Tensor
    albedo: Tensor
    expression: Tensor
    light: Tensor
    """[B,27] three channels times nine spherical harmonics, beside the constant light that `models.heads.lighting` adds."""


def encoded(config: FaceShopConfig, given: Coefficients) -> Tensor:
    """z [B,z_dim]: noise, shape / 4.2, albedo / 9, expression / 4, light / 0.85 in the published model."""
    return torch.cat([given.noise, *(value / scale for value, scale in zip(_parts(given), scales(config), strict=True))], 1)


def decoded(config: FaceShopConfig, z: Tensor) -> Coefficients:
    """The inverse of `encoded`."""
    sizes = [config.noise_dim, config.shape_dim, config.albedo_dim, config.expression_dim, config.light_dim]
    noise, *parts = z.split(sizes, dim=1)
    shape, albedo, expression, light = (part * scale for part, scale in zip(parts, scales(config), strict=True))
    return Coefficients(noise=noise, shape=shape, albedo=albedo, expression=expression, light=light)


def scales(config: FaceShopConfig) -> tuple[float, float, float, float]:
    """Of shape, albedo, expression and light."""
    return config.shape_scale, config.albedo_scale, config.expression_scale, config.light_scale


def replaced(config: FaceShopConfig, z: Tensor, block: Block, values: Tensor) -> Tensor:
    """z [B,z_dim] with another block, in the scaled units of z."""
    part = config.blocks[block]
    if values.shape[1] != part.stop - part.start:
        raise ValueError(f"the block {block} of this generator has {part.stop - part.start} numbers, not {values.shape[1]}")
    return torch.cat([z[:, : part.start], values.expand(len(z), -1), z[:, part.stop :]], 1)


def composed(config: FaceShopConfig, z: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    """z [B,z_dim] with coefficients [B,K] of `shape`, `albedo`, `expression` and `light` in place, in the face model's units.

    ValueError for other names and sizes.
    """
    given = decoded(config, z)
    for name, values in parts.items():
        size = getattr(given, name).shape[1] if name in PARTS else 0
        if values.shape[1] != size:
            raise ValueError(f"the part {name} of this generator's code has {size} coefficients, not {values.shape[1]}")
    return encoded(config, replace(given, **{name: values.to(z) for name, values in parts.items()}))


def _parts(given: Coefficients) -> tuple[Tensor, ...]:
    return given.shape, given.albedo, given.expression, given.light
