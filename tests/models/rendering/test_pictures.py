"""Pictures whose rays share a first pass, beside those of all samples."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.camera import Camera
from models.rendering import pictures
from models.rendering.fields import WholeField
from models.rendering.renderer import render_rays
from models.rendering.sampling import Sampling, Volume

SIDE = 64
SHARED = Sampling(coarse=12, fine=12, stride=2)
MANY = Sampling(coarse=96, fine=96)


def rays(side: int = SIDE, turn: float = 0.0, count: int = 1) -> tuple[Tensor, Tensor]:
    """[1,count*side*side,3] of cameras in front of the box, each next to the last."""
    camera = Camera.frontal(distance=2.7, focal=2.6)
    parts = []
    for number in range(count):
        pose = camera.world_from_camera.clone()
        pose[:, 0, 3] += turn + 0.1 * number
        parts.append(replace(camera, world_from_camera=pose).rays(side))
    origins, directions = (torch.cat(values, dim=1) for values in zip(*parts, strict=True))
    return origins, directions


def ball(radius: float = 0.3, hardness: float = 400.0) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """A colored ball whose border is a few hundredths wide, as a learned head's."""

    def field(points: Tensor) -> tuple[Tensor, Tensor]:
        color = 0.5 + 0.5 * torch.sin(8 * points)
        return torch.cat([color, points.abs()], -1), hardness * (radius - points.norm(dim=-1)) + 1

    return field


@torch.no_grad()
def shown(field: Any, sampling: Sampling, volume: Volume = Volume(), **how: Any) -> tuple[Tensor, ...]:
    return render_rays(field, *rays(), sampling, volume, side=SIDE, **how)


def error_db(a: Tensor, b: Tensor) -> float:
    """PSNR of pictures in [-1,1]."""
    return float(-10 * (a - b).square().mean().div(4).log10())


def test_it_is_near_the_truth() -> None:
    truth, plain, shared = (shown(ball(), how) for how in (MANY, Sampling(coarse=12, fine=12), SHARED))
    assert not torch.equal(plain[0], shared[0])
    assert error_db(shared[0], truth[0]) > 45
    inside = truth[2] > 0.99
    assert (shared[1] - truth[1])[inside].abs().max() < 0.03, "depth, in head units"
    assert (shared[2] - truth[2]).abs().mean() < 4e-3, "alpha"


def test_it_takes_fewer_points_and_far_fewer_colors() -> None:
    counts = {"points": 0, "colors": 0}

    class Counting(WholeField):
        def first(self, points: Tensor) -> tuple[Tensor, Tensor]:
            counts["points"] += points.shape[1]
            return super().first(points)

        def colors(self, hidden: Tensor) -> Tensor:
            counts["colors"] += len(hidden)
            return super().colors(hidden)

    shown(Counting(ball()), SHARED)
    every = SIDE * SIDE * 24
    assert SIDE * SIDE * 3 < counts["points"] < 0.5 * every and 0 < counts["colors"] < 0.25 * every


def test_rays_beside_everything_are_exactly_empty() -> None:
    for volume, empty in ((Volume(), -1.0), (Volume(white_back=True), 1.0), (Volume(signed=False), 0.0)):
        color, depth, alpha = shown(ball(), SHARED, volume)
        corner = torch.arange(5)
        assert (alpha[:, corner] == 0).all() and (color[:, corner] == empty).all() and depth.isfinite().all()
    nothing = shown(lambda points: (points, torch.full_like(points[..., 0], -50.0)), SHARED)
    assert (nothing[2].abs() < 1e-6).all() and torch.allclose(nothing[0], torch.tensor(-1.0), atol=1e-5)


def test_a_pixel_depends_neither_on_chunks_nor_on_other_heads_nor_on_other_views() -> None:
    whole = shown(ball(), SHARED)
    for chunk in (100, 5000):
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(whole, shown(ball(), SHARED, chunk=chunk), strict=True))
    radii = torch.tensor([0.3, 0.1])

    def two(points: Tensor) -> tuple[Tensor, Tensor]:
        color, _ = ball()(points)
        return color, 400 * (radii[:, None] - points.norm(dim=-1)) + 1

    starts, ways = (values.expand(2, -1, -1) for values in rays())
    with torch.no_grad():
        pair = render_rays(two, starts, ways, SHARED, Volume(), side=SIDE)
        assert all(torch.allclose(a[:1], b, atol=1e-5) for a, b in zip(pair, whole, strict=True))
        views = render_rays(ball(), *rays(count=2), SHARED, Volume(), side=SIDE)
        second = render_rays(ball(), *rays(turn=0.1), SHARED, Volume(), side=SIDE)
    for every, first, last in zip(views, whole, second, strict=True):
        assert torch.allclose(every[:, : SIDE * SIDE], first, atol=1e-5)
        assert torch.allclose(every[:, SIDE * SIDE :], last, atol=1e-5)


def test_faint_samples_change_a_color_by_less_than_half_a_gray_level(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = ball(radius=0.2, hardness=20.0)
    plain = shown(soft, SHARED)
    monkeypatch.setattr(pictures, "FAINT", 0.0)
    exact = shown(soft, SHARED)
    difference = (plain[0] - exact[0]).abs().max()
    assert 0 < difference < 1 / 255 and torch.equal(plain[2], exact[2])


def test_a_sheet_thinner_than_a_block_is_not_lost() -> None:
    """Its first passes miss it in many blocks, but not in all of nine."""

    def sheet(points: Tensor) -> tuple[Tensor, Tensor]:
        away = torch.maximum((points[..., 1] - 0.3 * points[..., 0]).abs() / 0.008, points[..., 2].abs() / 0.1)
        return torch.ones_like(points), 4000 * (1 - away) + 1

    truth, shared = (shown(sheet, how) for how in (MANY, SHARED))
    seen = truth[2] > 0.5
    assert 30 < seen.sum() < 150 and shared[2][seen].mean() > 0.9 * truth[2][seen].mean()


@pytest.mark.parametrize("how", [
    replace(SHARED, jitter="random"), replace(SHARED, stride=1), replace(SHARED, stride=3), replace(SHARED, fine=0),
    replace(SHARED, jitter="none"),
])  # fmt: skip
def test_elsewhere_every_ray_takes_both_passes(how: Sampling) -> None:
    assert not pictures.shares(how, Volume(), SIDE) and not pictures.shares(SHARED, Volume(rule="nerf"), SIDE)


def test_gradients_are_those_of_both_passes() -> None:
    assert not pictures.shares(SHARED, Volume(), SIDE)
    with torch.no_grad():
        assert pictures.shares(SHARED, Volume(), SIDE)
