"""Light on a matte surface by nine spherical harmonics a channel (3DFaceShop section 4.1, eq. 5 ff.; spec 7): shading, and
light back from a shaded picture in closed form.

Notable choices: the basis carries the cosine's convolution, so coefficients are of light and not of shading; a constant light
of `AMBIENT` is added to the first coefficient of every channel, so light 0 is flat white of 0.709. Bands: 1, y, z, x, xy, yz,
zz, xz, xx - yy.
"""

import torch
from torch import Tensor

BANDS = 9
AMBIENT = 0.8
LINEAR, QUADRATIC = 1.772454, 2.427032


def sh_basis(normals: Tensor) -> Tensor:
    """[...,9] of unit normals [...,3]. Straight at the viewer, (0,0,1): .8862, 0, 1.7725, 0, 0, 0, 1.4012, 0, 0."""
    x, y, z = normals.unbind(-1)
    bands = [
        torch.full_like(x, 0.886227), -LINEAR * y, LINEAR * z, -LINEAR * x, QUADRATIC * x * y, -QUADRATIC * y * z,
        0.700624 * (3 * z * z - 1), -QUADRATIC * x * z, QUADRATIC / 2 * (x * x - y * y),
    ]  # fmt: skip
    return torch.stack(bands, -1)


def irradiance(normals: Tensor, light: Tensor) -> Tensor:
    """[B,V,3] what falls on normals [B,V,3] under light [B,27], channel by channel."""
    coefficients = light.unflatten(1, (3, BANDS))
    coefficients = torch.cat([coefficients[..., :1] + AMBIENT, coefficients[..., 1:]], -1)
    return sh_basis(normals) @ coefficients.mT


def shaded(albedo: Tensor, normals: Tensor, light: Tensor) -> Tensor:
    """[B,V,3] albedo [B,V,3] times irradiance; may leave 0..1."""
    return albedo * irradiance(normals, light)


def light_rows(albedo: Tensor, normals: Tensor) -> Tensor:
    """[B,N,3,9] what each coefficient of a channel adds to the color of albedo [B,N,3] with normals [B,N,3]."""
    return albedo[..., None] * sh_basis(normals)[..., None, :]


def estimated_light(colors: Tensor, rows: Tensor, weight: Tensor, damping: float = 1e-9) -> Tensor:
    """Light [B,27] whose `light_rows` [B,N,3,9] sum up most nearly to colors [B,N,3], by least squares weighed by weight [B,N];
    differentiable in the colors. `damping` pulls what nothing shows to 0.

    Errors count as errors of the color, so dark albedo does not blow noise up. Computed in double precision.
    """
    given, rows = colors.double() - AMBIENT * rows[..., 0].double(), rows.double()
    weighed = rows * weight.double()[..., None, None]
    normal = torch.einsum("bnci,bncj->bcij", weighed, rows)
    scale = damping * normal.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None] + 1e-12
    normal = normal + scale * torch.eye(BANDS, device=rows.device, dtype=rows.dtype)
    light = torch.linalg.solve(normal, torch.einsum("bnci,bnc->bci", weighed, given)[..., None])[..., 0]
    return light.flatten(1).to(colors.dtype)
