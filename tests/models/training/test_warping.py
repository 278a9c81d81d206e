import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.warping import SYM6, rotation, scaling, shifting, warp
from tests.reference import largest_difference


def smooth(height: int = 48, width: int = 48) -> Tensor:
    """[1,3,H,W] that changes by an eighth a pixel at most; the filter's delay moves it by a tenth of a pixel an axis."""
    v, u = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([torch.sin(6 * u + 2 * v), torch.cos(5 * v * u), u * v])[None]


def turned(angle: float) -> Tensor:
    return rotation(torch.tensor([angle]))


def test_the_filter_is_orthonormal_to_its_even_shifts():
    taps = torch.tensor(SYM6, dtype=torch.float64)
    assert taps.sum().item() == pytest.approx(math.sqrt(2), abs=1e-10)
    products = [float((taps[2 * m :] * taps[: 12 - 2 * m]).sum()) for m in range(6)]
    assert products == pytest.approx([1, 0, 0, 0, 0, 0], abs=1e-10)


def test_no_map_is_no_change():
    x = torch.randn(2, 3, 17, 20)
    assert largest_difference(warp(x, torch.eye(3).expand(2, 3, 3)), x) < 1e-5


def test_whole_pixels_are_shifted_exactly_and_the_border_is_a_mirror():
    x = torch.randn(2, 3, 17, 20)
    inverse = torch.stack([shifting(-3.0, 2.0), shifting(4.0, 0.0)])
    shifted = warp(x, inverse)
    padded = F.pad(x, (4, 4, 4, 4), mode="reflect")
    assert largest_difference(shifted[:1], padded[:1, :, 6:23, 1:21]) < 1e-5
    assert largest_difference(shifted[1:], padded[1:, :, 4:21, 8:28]) < 1e-5
    assert largest_difference(shifted[1:, ..., :-4], x.roll(-4, 3)[1:, ..., :-4]) < 1e-5


def test_flips_and_quarter_turns():
    x = smooth()
    assert largest_difference(warp(x, scaling(-1.0, 1.0)[None]), x.flip(3)) < 0.03
    assert largest_difference(warp(x, scaling(1.0, -1.0)[None]), x.flip(2)) < 0.03
    for quarters in (1, 2, 3):
        assert largest_difference(warp(x, turned(quarters * math.pi / 2)), torch.rot90(x, quarters, (2, 3))) < 0.03
    assert largest_difference(warp(x, turned(math.pi / 2)), torch.rot90(x, 3, (2, 3))) > 0.5


def test_there_and_back_again():
    x = smooth()
    for there, back in ((turned(0.4), turned(-0.4)), (scaling(0.8, 1.25)[None], scaling(1.25, 0.8)[None])):
        again = warp(warp(x, there), back)
        assert largest_difference(again[..., 12:-12, 12:-12], x[..., 12:-12, 12:-12]) < 5e-3


def test_a_map_is_applied_as_it_says():
    """Pixel x of the output shows inverse x of the source; a ramp shows which that was."""
    v, u = torch.meshgrid(torch.arange(48.0) - 23.5, torch.arange(48.0) - 23.5, indexing="ij")
    inverse = shifting(1.5, -0.5) @ rotation(torch.tensor(0.3)) @ scaling(0.7, 0.9)
    found = warp(torch.stack([u, v])[None], inverse[None])[0]
    expected = torch.einsum("ij,jhw->ihw", inverse, torch.stack([u, v, torch.ones_like(u)]))[:2]
    inside = (expected.abs() < 20).all(0)
    assert inside.float().mean() > 0.6
    assert largest_difference(found[:, inside], expected[:, inside]) < 0.1


def test_odd_shapes_and_far_maps():
    x = torch.rand(1, 6, 9, 13)
    assert warp(x, (scaling(3.0, 3.0) @ turned(0.5)[0])[None]).shape == x.shape
    assert warp(x, shifting(300.0, 0.0)[None]).isfinite().all()


def test_a_warp_can_be_differentiated_twice():
    x = torch.rand(1, 1, 6, 7, dtype=torch.float64, requires_grad=True)
    inverse = (shifting(0.3, 0.2) @ turned(0.7)[0])[None].double()
    assert torch.autograd.gradcheck(lambda x: warp(x, inverse), (x,))
    assert torch.autograd.gradgradcheck(lambda x: warp(x, inverse), (x,))
