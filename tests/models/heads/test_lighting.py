import torch
from torch.nn import functional as F

from models.heads.lighting import AMBIENT, estimated_light, light_rows, sh_basis, shaded
from tests.faceshop_goldens import golden
from tests.reference import largest_difference


def test_shading_is_the_official_one() -> None:
    official = golden("01_sh_shading")
    assert largest_difference(sh_basis(official["normals"]), official["basis_Y"]) < 1e-5
    shades = shaded(official["albedo"], official["normals"], official["gamma"])
    assert largest_difference(shades, official["color"]) < 1e-5


def test_no_light_is_flat_white() -> None:
    white = shaded(torch.ones(1, 5, 3), F.normalize(torch.randn(1, 5, 3), dim=-1), torch.zeros(1, 27))
    assert largest_difference(white, torch.full((1, 5, 3), 0.886227 * AMBIENT)) < 1e-6


def test_light_comes_back_from_a_shaded_surface() -> None:
    random = torch.Generator().manual_seed(0)
    normals = F.normalize(torch.randn(2, 400, 3, generator=random), dim=-1)
    albedo, light = 0.2 + 0.6 * torch.rand(2, 400, 3, generator=random), 0.3 * torch.randn(2, 27, generator=random)
    colors = shaded(albedo, normals, light)
    rows, weight = light_rows(albedo, normals), torch.ones(2, 400)
    assert largest_difference(estimated_light(colors, rows, weight), light) < 1e-3
    colors[:, :100] = 5.0
    weight[:, :100] = 0.0
    assert largest_difference(estimated_light(colors, rows, weight), light) < 1e-3
    assert largest_difference(estimated_light(colors, rows, torch.ones(2, 400)), light) > 0.1


def test_the_estimate_has_gradients() -> None:
    random = torch.Generator().manual_seed(0)
    normals = F.normalize(torch.randn(1, 60, 3, generator=random), dim=-1).double()
    colors = torch.rand(1, 60, 3, generator=random).double().requires_grad_()
    rows, weight = light_rows(torch.full((1, 60, 3), 0.5).double(), normals), torch.ones(1, 60).double()
    assert torch.autograd.gradcheck(lambda x: estimated_light(x, rows, weight), colors)
