import pytest
import torch

from models.stylegan2.synthesis import Synthesis, SynthesisBlock, SynthesisLayer, ToRGB, block_channels
from tests.reference import golden_case, largest_difference, load_case_weights


@pytest.mark.parametrize(
    ("case", "resolution", "up", "clamp"),
    [
        ("synthesis_layer_same", 8, False, None),
        ("synthesis_layer_up2", 16, True, None),
        ("synthesis_layer_clamp", 8, False, 0.5),
    ],
)
def test_layer_is_the_official_one(case: str, resolution: int, up: bool, clamp: float | None):
    inputs, outputs = golden_case("ops_layers", case)
    layer = SynthesisLayer(4, 6, w_dim=10, resolution=resolution, up=up, clamp=clamp)
    load_case_weights(layer, inputs)
    assert largest_difference(layer(inputs["x"], inputs["w"], "const"), outputs["y_const"]) < 1e-5
    assert largest_difference(layer(inputs["x"], inputs["w"], "none"), outputs["y_none"]) < 1e-5
    assert largest_difference(layer(inputs["x"], inputs["w"], "const", gain=0.5**0.5), outputs["y_gain"]) < 1e-5


def test_torgb_is_the_official_one():
    inputs, outputs = golden_case("ops_layers", "torgb")
    layer = ToRGB(4, 3, w_dim=10)
    load_case_weights(layer, inputs)
    assert largest_difference(layer(inputs["x"], inputs["w"]), outputs["y"]) < 1e-5


def test_blocks_are_the_official_ones():
    inputs, outputs = golden_case("ops_layers", "synthesis_block")
    block = SynthesisBlock(4, 6, w_dim=10, resolution=16, image_channels=3, clamp=256)
    load_case_weights(block, inputs)
    x, image = block(inputs["x"], inputs["img"], inputs["ws"], "const")
    assert largest_difference(x, outputs["x"]) < 1e-5
    assert largest_difference(image, outputs["img"]) < 1e-5
    inputs, outputs = golden_case("ops_layers", "synthesis_block_const")
    block = SynthesisBlock(0, 6, w_dim=10, resolution=4, image_channels=3)
    load_case_weights(block, inputs)
    x, image = block(None, None, inputs["ws"], "const")
    assert largest_difference(x, outputs["x"]) < 1e-5
    assert largest_difference(image, outputs["img"]) < 1e-5


def test_channels_worked_numbers():
    assert [block_channels(size, 32768, 512) for size in (4, 64, 128, 256)] == [512, 512, 256, 128]


def test_every_w_matters_and_noise_is_what_the_call_says():
    torch.manual_seed(0)
    network = Synthesis(w_dim=6, resolution=16, image_channels=3, channel_base=64, channel_max=8)
    ws = torch.randn(1, network.num_ws, 6, requires_grad=True)
    assert network.num_ws == 6
    (gradient,) = torch.autograd.grad(network(ws, "const").square().sum(), ws)
    assert (gradient.abs().amax((0, 2)) > 0).all()
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(1.0)
    assert torch.equal(network(ws, "const"), network(ws, "const"))
    assert not torch.equal(network(ws, "random"), network(ws, "random"))
    assert not torch.equal(network(ws, "none"), network(ws, "const"))
