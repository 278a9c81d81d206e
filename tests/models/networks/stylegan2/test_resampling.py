import pytest
import torch
from torch.nn import functional as F

from models.networks.stylegan2 import resampling
from models.networks.stylegan2.resampling import (
    binomial_filter,
    downsampled_convolution,
    upfirdn,
    upsample,
    upsampled_convolution,
)
from tests.reference import largest_difference


def test_ones_keep_their_value_inside_and_darken_at_the_border():
    image = upsample(torch.ones(1, 1, 4, 4), binomial_filter())[0, 0]
    assert image.shape == (8, 8)
    assert image[3, 3] == 1
    assert image[0, 3] == pytest.approx(0.75)
    assert image[0, 0] == pytest.approx(0.5625)


def test_a_blur_of_zero_changes_nothing():
    x = torch.rand(1, 3, 5, 5)
    assert torch.equal(resampling.blur(x, 0.0), x)


def test_upfirdn_worked_number():
    x, kernel = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[1.0, 3.0]])
    assert upfirdn(x, kernel, up=(2, 1), padding=(1, 0, 0, 0)).flatten().tolist() == [1, 3, 2, 6]
    assert upfirdn(x, kernel, up=(2, 1), padding=(1, 0, 0, 0), flip=True).flatten().tolist() == [3, 1, 6, 2]


def test_a_separable_kernel_is_its_outer_product():
    x, taps = torch.randn(2, 3, 9, 7), torch.randn(5)
    how = {"up": (2, 3), "down": (3, 2), "padding": (1, 4, -2, 3), "gain": 2.0}
    assert largest_difference(upfirdn(x, taps, **how), upfirdn(x, taps.outer(taps), **how)) < 1e-5


def test_the_short_forms_are_upfirdn():
    x, weight, f = torch.randn(2, 3, 8, 6), torch.randn(4, 3, 3, 3), binomial_filter()
    assert largest_difference(upsample(x, f), upfirdn(x, f, up=(2, 2), padding=(2, 1, 2, 1), gain=4)) < 1e-5
    enlarged = upfirdn(x, f, up=(2, 2), padding=(3, 2, 3, 2), gain=4)
    assert largest_difference(upsampled_convolution(x, weight, f), F.conv2d(enlarged, weight.flip((2, 3)))) < 1e-4
    shrunk = F.conv2d(upfirdn(x, f, padding=(2, 2, 2, 2)), weight, stride=2)
    assert largest_difference(downsampled_convolution(x, weight, f), shrunk) < 1e-4
    one = weight[:, :, :1, :1]
    shrunk = F.conv2d(upfirdn(x, f, down=(2, 2), padding=(1, 1, 1, 1)), one)
    assert largest_difference(downsampled_convolution(x, one, f), shrunk) < 1e-4


@pytest.mark.parametrize("stride", [1, 2])
def test_first_and_second_derivatives_of_the_filter(stride: int):
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    kernel = binomial_filter().double()
    for function in (lambda x: resampling.filtered(x, kernel, padding=1, stride=stride), lambda x: upsample(x, kernel)):
        assert torch.autograd.gradcheck(lambda x, f=function: f(x).square(), x)
        assert torch.autograd.gradgradcheck(lambda x, f=function: f(x).square(), x)
