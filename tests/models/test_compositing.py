import pytest
import torch

from models.compositing import composite, expected_depth, interval_weights, over, sample_weights
from tests.reference import golden_case, largest_difference


@pytest.mark.parametrize("case", ["march_ffhq", "march_white", "march_empty"])
def test_marching_is_the_official_one(case: str):
    inputs, outputs = golden_case("renderer", case)
    depths = inputs["depths"][..., 0]
    density = inputs["densities"][..., 0] if "densities" in inputs else torch.full_like(depths, -200.0)
    weights = interval_weights(density, depths)
    samples = sample_weights(weights)
    color, alpha = composite(inputs["colors"].permute(0, 3, 1, 2), samples, white_back=case == "march_white")
    whole_batch = depths.min().view(1, 1, 1).expand(2, 7, 1), depths.max().view(1, 1, 1).expand(2, 7, 1)
    assert largest_difference(weights, outputs["weights"][..., 0]) < 1e-6
    assert largest_difference(color.mT, outputs["rgb"]) < 1e-5
    assert largest_difference(expected_depth(samples, depths, *whole_batch), outputs["depth"]) < 1e-5
    assert largest_difference(alpha, outputs["weights"].sum((2, 3))) < 1e-6


def test_weights_worked_numbers():
    weights = interval_weights(torch.ones(3), torch.tensor([1.0, 2.0, 3.0]))
    assert weights.tolist() == pytest.approx([0.5, 0.25])
    assert sample_weights(weights).tolist() == pytest.approx([0.25, 0.375, 0.125])


def test_depth_of_an_empty_ray_has_a_finite_gradient():
    weights = torch.zeros(1, 1, 3, requires_grad=True)
    depth = expected_depth(weights, torch.tensor([[[1.0, 2.0, 3.0]]]), torch.ones(1, 1, 1), torch.full((1, 1, 1), 3.0))
    assert depth.item() == 3
    (gradient,) = torch.autograd.grad(depth.sum() + weights.sum(), weights)
    assert gradient.isfinite().all()


def test_over_shows_the_background_exactly_where_nothing_is():
    image = torch.full((1, 3, 4, 4), -1.0)
    image[..., :2] = 0.5
    alpha = torch.zeros(1, 1, 4, 4)
    alpha[..., :2] = 1
    out = over(image, alpha, torch.full((1, 3, 1, 1), 0.25))
    assert out[0, 0, 0].tolist() == pytest.approx([0.5, 0.5, 0.25, 0.25])
    assert over(torch.zeros(1, 3, 8, 8), alpha, torch.zeros(1, 3, 1, 1)).shape == (1, 3, 8, 8)
