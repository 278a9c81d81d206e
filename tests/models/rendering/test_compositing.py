import pytest
import torch

from models.rendering.compositing import expected_depth, interval_weights, over, sample_weights


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
