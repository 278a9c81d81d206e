import pytest
import torch

from models.stylegan2.layers import Convolution, FullyConnected, bias_act, modulated_convolution, normalize_second_moment
from models.stylegan2.resampling import binomial_filter
from tests.reference import golden_case, largest_difference, load_case_weights

LAYERS = {
    "fc_linear": {}, "fc_lrelu_lr001": {"activation": "lrelu", "lr_multiplier": 0.01}, "fc_nobias": {"bias": False},
    "fc_bias1": {"bias_init": 1},
}  # fmt: skip


def test_bias_act_worked_number():
    assert bias_act(torch.tensor([[-1.0]]), torch.tensor([0.5]), "lrelu").item() == pytest.approx(-0.1414, abs=1e-4)


@pytest.mark.parametrize(
    ("case", "activation", "gain", "clamp"),
    [
        ("bias_act_linear", "linear", 1.0, None),
        ("bias_act_lrelu", "lrelu", 1.0, None),
        ("bias_act_lrelu_gain_clamp", "lrelu", 0.5**0.5, 0.75),
    ],
)
def test_bias_act_is_the_official_one(case: str, activation: str, gain: float, clamp: float | None):
    inputs, outputs = golden_case("ops_conv", case)
    clamp = None if clamp is None else clamp / gain  # the official function takes the limit after the gain
    assert largest_difference(bias_act(inputs["x"], inputs["b"], activation, gain, clamp), outputs["y"]) < 1e-6


@pytest.mark.parametrize("case", LAYERS)
def test_fully_connected_is_the_official_one(case: str):
    inputs, outputs = golden_case("ops_layers", case)
    layer = FullyConnected(6, 5, **LAYERS[case])
    load_case_weights(layer, inputs)
    assert largest_difference(layer(inputs["x"]), outputs["y"]) < 1e-6


def test_fresh_layers_keep_unit_variance():
    torch.manual_seed(0)
    assert FullyConnected(64, 64, lr_multiplier=0.01)(torch.randn(4096, 64)).std().item() == pytest.approx(1, abs=0.05)
    image = Convolution(32, 32, 3)(torch.randn(4, 32, 16, 16))[..., 1:-1, 1:-1]
    assert image.std().item() == pytest.approx(1, abs=0.1)


def test_second_moment_normalization_is_the_official_one():
    inputs, outputs = golden_case("ops_layers", "normalize_2nd_moment")
    assert largest_difference(normalize_second_moment(inputs["x"]), outputs["y"]) < 1e-6


@pytest.mark.parametrize("case", ["modconv_k3", "modconv_k3_up2", "modconv_k3_nodemod", "modconv_torgb"])
def test_modulated_convolution_is_the_official_one(case: str):
    inputs, outputs = golden_case("ops_conv", case)
    demodulate, up = case in ("modconv_k3", "modconv_k3_up2"), binomial_filter() if case.endswith("up2") else None
    y = modulated_convolution(inputs["x"], inputs["weight"], inputs["styles"], demodulate=demodulate, up_filter=up)
    assert largest_difference(y, outputs["y_fused"]) < 1e-5


def test_a_demodulated_output_does_not_depend_on_the_size_of_the_style():
    x, weight, styles = torch.randn(2, 4, 8, 8), torch.randn(6, 4, 3, 3), torch.rand(2, 4) + 0.5
    small, large = (modulated_convolution(x, weight, styles * scale) for scale in (1, 100))
    assert largest_difference(small, large) < 1e-4
