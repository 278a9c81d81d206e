import pytest
import torch
from torch import nn

from models.training import schedules


def test_blur_fades():
    assert [schedules.blur_sigma(images) for images in (0, 100_000, 200_000, 300_000)] == [10, 5, 0, 0]
    assert schedules.blur_sigma(25_000, batch=8) == 5


def test_the_raw_image_grows_through_odd_sizes():
    assert [schedules.raw_resolution(images) for images in (0, 20_000, 500_000, 1_000_000, 9e9)] == [64, 65, 96, 128, 128]


def test_swapping_fades_to_its_final_share():
    assert [schedules.swap_probability(images) for images in (0, 500_000, 2_000_000)] == [1, 0.75, 0.5]
    assert schedules.swap_probability(500_000, final=0.8) == pytest.approx(0.9)


def test_a_swapped_label_is_the_neighbors():
    labels, random = torch.arange(1000.0)[:, None].expand(-1, 25), torch.Generator().manual_seed(0)
    assert torch.equal(schedules.swapped(labels, 1.0, random)[:, 0], torch.arange(1000.0).roll(1))
    assert torch.equal(schedules.swapped(labels, 0.0, random), labels)
    half = schedules.swapped(labels, 0.5, random)
    assert 0.45 < (half != labels)[:, 0].float().mean() < 0.55
    assert ((half == labels) | (half == labels.roll(1, 0))).all()
    whole = [schedules.swapped(labels, 0.5, random, together=True) for _ in range(20)]
    assert {torch.equal(each, labels) for each in whole} == {True, False}
    assert all(torch.equal(each, labels) or torch.equal(each, labels.roll(1, 0)) for each in whole)


def test_the_average_forgets_slower_and_slower():
    assert schedules.ema_half_life(32) == 10_000
    assert schedules.ema_half_life(4) == 1250
    assert schedules.ema_decay(32, 10_000, seen=0) == 0
    assert schedules.ema_decay(32, 10_000, seen=6400) == pytest.approx(0.93303, abs=1e-5)
    assert schedules.ema_decay(32, 10_000, seen=1e9) == pytest.approx(0.99778, abs=1e-5)
    assert schedules.ema_decay(32, 10_000, seen=0, ramp_up=None) == pytest.approx(0.99778, abs=1e-5)


def test_lazy_adam_worked_numbers():
    rate, betas = schedules.lazy_adam(0.0025, (0.0, 0.99), 4)
    assert (rate, *betas) == pytest.approx((0.002, 0.0, 0.99**0.8))
    rate, betas = schedules.lazy_adam(0.002, (0.0, 0.99), 16)
    assert (rate, *betas) == pytest.approx((0.001882, 0.0, 0.99059), abs=1e-5)


def test_bad_gradients_do_not_reach_the_optimizer():
    parameter, untouched = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.zeros(1))
    parameter.grad = torch.tensor([float("nan"), float("inf"), float("-inf"), 2.0])
    schedules.clean_gradients([parameter, untouched])
    assert parameter.grad.tolist() == [0, 1e5, -1e5, 2]
    assert untouched.grad is None


def test_r1_of_small_batches():
    assert [schedules.r1_gamma(batch) for batch in (64, 32, 16, 8, 1)] == [2.5, 5, 10, 20, 20]
