import pytest
import torch

from models.training.losses import (
    density_smoothness,
    discriminator_loss,
    generator_loss,
    mean_shift_penalty,
    r1_penalty,
)


def test_gan_losses_worked_numbers():
    zero = torch.zeros(2, 1)
    assert generator_loss(zero).item() == pytest.approx(0.6931, abs=1e-4)
    assert discriminator_loss(real=zero, fake=zero).item() == pytest.approx(1.3863, abs=1e-4)
    assert discriminator_loss(real=zero + 9, fake=zero - 9) < 1e-3 < generator_loss(zero - 9)


def test_r1_is_the_squared_gradient_over_all_inputs():
    image, raw = torch.randn(2, 3, requires_grad=True), torch.randn(2, 4, requires_grad=True)
    assert r1_penalty(3 * image[:, :1] + raw.sum(1, keepdim=True), image, raw).tolist() == pytest.approx([13, 13])


def test_r1_can_be_differentiated():
    weight, x = torch.tensor(2.0, requires_grad=True), torch.ones(1, 1, requires_grad=True)
    (gradient,) = torch.autograd.grad(r1_penalty(weight * x, x).sum(), weight)
    assert gradient.item() == pytest.approx(4)


def test_smoothness_worked_numbers():
    assert density_smoothness(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 1.0])).item() == pytest.approx(0.75)


def test_cameras_may_move_but_not_together():
    assert mean_shift_penalty(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])).item() == pytest.approx(1.25)
    assert mean_shift_penalty(torch.tensor([[1.0, -1.0, 2.0], [-1.0, 1.0, -2.0]])).item() == 0
