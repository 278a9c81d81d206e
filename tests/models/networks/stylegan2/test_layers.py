import pytest
import torch

from models.networks.stylegan2.layers import Convolution, FullyConnected, bias_act, modulated_convolution
from tests.reference import largest_difference


def test_bias_act_worked_number():
    assert bias_act(torch.tensor([[-1.0]]), torch.tensor([0.5]), "lrelu").item() == pytest.approx(-0.1414, abs=1e-4)


def test_fresh_layers_keep_unit_variance():
    torch.manual_seed(0)
    assert FullyConnected(64, 64, lr_multiplier=0.01)(torch.randn(4096, 64)).std().item() == pytest.approx(1, abs=0.05)
    image = Convolution(32, 32, 3)(torch.randn(4, 32, 16, 16))[..., 1:-1, 1:-1]
    assert image.std().item() == pytest.approx(1, abs=0.1)


def test_a_demodulated_output_does_not_depend_on_the_size_of_the_style():
    x, weight, styles = torch.randn(2, 4, 8, 8), torch.randn(6, 4, 3, 3), torch.rand(2, 4) + 0.5
    small, large = (modulated_convolution(x, weight, styles * scale) for scale in (1, 100))
    assert largest_difference(small, large) < 1e-4
