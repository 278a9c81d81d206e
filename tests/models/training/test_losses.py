import pytest
import torch

from models.training.losses import (
    density_monotonicity,
    density_smoothness,
    discriminator_loss,
    generator_loss,
    mean_shift_penalty,
    points_behind,
    r1_loss_with_mask,
    r1_penalty,
    total_variation,
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


def test_smoothness_and_total_variation_worked_numbers():
    assert density_smoothness(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 1.0])).item() == pytest.approx(0.75)
    ramp = torch.arange(0.0, 10.0, 2.0).expand(1, 3, 5, 5)
    assert total_variation(ramp).item() == pytest.approx(4)


def test_the_mask_has_a_gamma_of_its_own():
    image, raw, mask = (torch.randn(2, 1, 4, 4, requires_grad=True) for _ in range(3))
    logits = (3 * image + raw + 2 * mask)[:, 0, 0, :1]
    assert r1_loss_with_mask(logits, image, raw, mask, gamma=1.0, gamma_mask=5.0).tolist() == pytest.approx([15, 15])
    both = r1_loss_with_mask(logits, image, raw, mask, gamma=2.0, gamma_mask=0.0)
    assert torch.allclose(both, r1_penalty(logits, image, raw))


def test_density_must_not_fall_into_the_head():
    density, behind = torch.tensor([1.0, 3.0], requires_grad=True), torch.tensor([2.0, 2.0], requires_grad=True)
    density_monotonicity(density, behind).backward()
    assert density.grad is not None and density.grad.tolist() == [0, 0.5]
    density.grad = None
    loss = density_monotonicity(density, behind, detach=True)
    assert loss.item() == pytest.approx(0.5)
    loss.backward()
    assert density.grad is None
    assert behind.grad is not None and behind.grad.tolist() == [0, -1]


def test_behind_is_one_texel_further_from_a_frontal_camera():
    moved = points_behind(torch.tensor([[[0.1, 0.2, 0.3]]]), 1.28)
    assert moved[0, 0].tolist() == pytest.approx([0.1, 0.2, 0.295])


def test_cameras_may_move_but_not_together():
    assert mean_shift_penalty(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])).item() == pytest.approx(1.25)
    assert mean_shift_penalty(torch.tensor([[1.0, -1.0, 2.0], [-1.0, 1.0, -2.0]])).item() == 0
