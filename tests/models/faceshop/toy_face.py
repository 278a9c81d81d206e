"""A face of a few triangles and helpers for which there is nothing to load."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from models.faceshop.config import FACESHOP_UNIT
from models.faceshop.objective import Helpers
from models.heads.face3dmm import FaceModel, camera_of

CONFIG = replace(FACESHOP_UNIT, box_warp=0.37)
CAMERA = camera_of(torch.tensor([[0.0, 0.1, 0.0], [0.1, -0.2, 0.0]]), torch.tensor([[0.0, -0.1, 0.0]] * 2))


def bowl() -> FaceModel:
    """A bowl of 121 vertices, 1.2 dm wide, whose coefficients are random."""
    random = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-0.8, 0.8, 11), torch.linspace(-0.6, 0.6, 11), indexing="ij")
    mean = torch.stack([x, y, 0.5 - 0.6 * (x.square() + y.square())], -1).view(-1, 3)
    corner = (torch.arange(10)[:, None] * 11 + torch.arange(10)).flatten()
    triangles = torch.cat([torch.stack([corner, corner + 1, corner + 11], 1),
                           torch.stack([corner + 1, corner + 12, corner + 11], 1)])  # fmt: skip
    bases = [0.02 * torch.randn(121, 3, count, generator=random) for count in (3, 4, 1)]
    return FaceModel(
        mean_shape=mean, shape_basis=bases[0], expression_basis=bases[1], mean_albedo=torch.full((121, 3), 0.6),
        albedo_basis=bases[2], triangles=triangles, landmarks=torch.arange(68),
    )  # fmt: skip


def codes() -> Tensor:
    """Light is faint, so that no color leaves 0..1."""
    z = 0.3 * torch.randn(2, CONFIG.z_dim, generator=torch.Generator().manual_seed(1))
    return torch.cat([z[:, :-27], 0.3 * z[:, -27:]], 1)


def toy_helpers() -> Helpers:
    """Linear ones, for which there is nothing to load."""
    random = torch.Generator().manual_seed(2)
    points, features = torch.randn(147, 136, generator=random), torch.randn(48, 8, generator=random)
    filters = torch.randn(5, 3, 4, 4, generator=random)

    def landmarks(image: Tensor) -> Tensor:
        return 112 + (F.adaptive_avg_pool2d(image, 7).flatten(1) @ points).unflatten(1, (68, 2))

    def recognizer(crop: Tensor) -> Tensor:
        assert crop.shape[1:] == (3, 112, 112)
        return F.adaptive_avg_pool2d(crop, 4).flatten(1) @ features

    def style(image: Tensor) -> list[Tensor]:
        return [F.relu(F.conv2d(image, filters, stride=4))]

    return Helpers(landmarks=landmarks, recognizer=recognizer, parser=lambda image: (18 * image[:, 0]).long().clamp(0, 18),
                   style=style)  # fmt: skip
