import pytest
import torch

from models.stylegan2 import resampling
from models.stylegan2.resampling import binomial_filter, downsampled_convolution, upsample, upsampled_convolution
from tests.reference import golden_case, largest_difference


def test_ones_keep_their_value_inside_and_darken_at_the_border():
    image = upsample(torch.ones(1, 1, 4, 4), binomial_filter())[0, 0]
    assert image.shape == (8, 8)
    assert image[3, 3] == 1
    assert image[0, 3] == pytest.approx(0.75)
    assert image[0, 0] == pytest.approx(0.5625)


def test_upsample_is_the_official_one():
    inputs, outputs = golden_case("ops_conv", "upsample2d")
    assert largest_difference(upsample(inputs["x"], binomial_filter()), outputs["y"]) < 1e-5


def test_upsampled_convolution_is_the_official_one():
    inputs, outputs = golden_case("ops_conv", "conv2d_resample_k3_up2_noflip")
    assert largest_difference(upsampled_convolution(inputs["x"], inputs["w"], binomial_filter()), outputs["y"]) < 1e-5


@pytest.mark.parametrize("case", ["conv2d_resample_k1_down2", "conv2d_resample_k3_down2"])
def test_downsampled_convolution_is_the_official_one(case: str):
    inputs, outputs = golden_case("ops_conv", case)
    assert largest_difference(downsampled_convolution(inputs["x"], inputs["w"], binomial_filter()), outputs["y"]) < 1e-5


@pytest.mark.parametrize("size", [7, 8, 32])
def test_resize_is_the_official_one(size: int):
    inputs, outputs = golden_case("ops_conv", f"filtered_resizing_antialiased_{size}")
    assert largest_difference(resampling.resize(inputs["x"], size), outputs["y"]) < 1e-5


@pytest.mark.parametrize("sigma", [1.0, 2.5])
def test_blur_is_the_official_one(sigma: float):
    inputs, outputs = golden_case("ops_conv", f"blur_sigma{sigma:g}")
    assert largest_difference(resampling.blur(inputs["x"], sigma), outputs["y"]) < 1e-5


def test_a_blur_of_zero_changes_nothing():
    x = torch.rand(1, 3, 5, 5)
    assert torch.equal(resampling.blur(x, 0.0), x)
