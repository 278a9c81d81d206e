"""All 22 cases of `ops_layers`: the plain reference runs every one, the networks' modules all that they have."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from models.networks.stylegan2.discriminator import DiscriminatorBlock, DiscriminatorEpilogue, minibatch_deviation
from models.networks.stylegan2.layers import FullyConnected, normalize_second_moment
from models.networks.stylegan2.mapping import Mapping
from models.networks.stylegan2.synthesis import SynthesisBlock, SynthesisLayer, ToRGB
from tests import plain
from tests.reference import Tensors, compare, golden_case, golden_cases, load_case_weights

Run = Callable[[Tensors], Tensors]
FILE = "ops_layers"

CONNECTED = {
    "fc_linear": {}, "fc_lrelu_lr001": {"activation": "lrelu", "lr": 0.01}, "fc_nobias": {}, "fc_bias1": {},
}  # fmt: skip
DEVIATION = {"N4_G4": (4, 1), "N8_G4": (4, 1), "N2_G4": (4, 1), "N6_G3": (3, 1), "N8_G4_F2": (4, 2)}
LAYERS = {"same": {}, "up2": {"up": 2}, "clamp": {"clamp": 0.5}}
HALF = 0.5**0.5
NUM_WS = 6


def named(inputs: Tensors) -> Tensors:
    """The weights of a case under `at.`, as `plain` wants them."""
    return {f"at.{name[3:]}": value for name, value in inputs.items() if name.startswith("sd.")}


def mean_before() -> torch.Tensor:
    """`sd.w_avg` was stored after the update of its own case; truncation was computed before it."""
    return golden_case(FILE, "mapping_w_avg_update")[0]["w_avg_before"]


def plain_mapping(inputs: Tensors) -> Tensors:
    z, c, mean = inputs["z"], inputs["c"], mean_before()
    w = plain.mapping(named(inputs), "at", z, c, layers=2)
    unconditioned = plain.mapping(named(inputs), "at", z, torch.zeros_like(c), layers=2)
    return {
        "w": plain.truncated(w, mean, 1.0, NUM_WS), "w_psi": plain.truncated(w, mean, 0.5, NUM_WS),
        "w_psi_cut": plain.truncated(w, mean, 0.5, NUM_WS, cutoff=2), "w_c0": plain.truncated(unconditioned, mean, 1.0, NUM_WS),
    }  # fmt: skip


def plain_mean(inputs: Tensors) -> Tensors:
    w = golden_case(FILE, "mapping_zc")[1]["w"][:, 0]
    return {"w_avg_after": 0.998 * inputs["w_avg_before"] + 0.002 * w.mean(0)}


def plain_layer(inputs: Tensors, **options) -> Tensors:
    def run(noise: plain.Noise, **more) -> torch.Tensor:
        return plain.synthesis_layer(named(inputs), "at", inputs["x"], inputs["w"], noise, **options, **more)

    return {
        "y_const": run("const"),
        "y_none": run("none"),
        "y_unfused": run("const", fused=False),
        "y_gain": run("const", gain=HALF),
    }


def plain_block(inputs: Tensors, clamp: float | None) -> Tensors:
    given = inputs.get("x"), inputs.get("img"), inputs["ws"]
    x, image = plain.synthesis_block(named(inputs), "at", *given, "const", clamp=clamp)
    return {"x": x, "img": image}


PLAIN: dict[str, Run] = {
    **{case: partial(lambda how, i: {"y": plain.fully_connected(named(i), "at", i["x"], **how)}, how)
       for case, how in CONNECTED.items()},
    "normalize_2nd_moment": lambda i: {"y": plain.second_moment(i["x"])},
    "mapping_zc": plain_mapping, "mapping_w_avg_update": plain_mean,
    "mapping_c_only_D": lambda i: {"w": plain.mapping(named(i), "at", None, i["c"], layers=8)},
    **{f"mbstd_{name}": partial(lambda how, i: {"y": plain.minibatch_deviation(i["x"], *how)}, how)
       for name, how in DEVIATION.items()},
    **{f"synthesis_layer_{name}": partial(plain_layer, **how) for name, how in LAYERS.items()},
    "torgb": lambda i: {"y": plain.to_rgb(named(i), "at", i["x"], i["w"])},
    "synthesis_block": partial(plain_block, clamp=256), "synthesis_block_const": partial(plain_block, clamp=None),
    "d_block_first": lambda i: {"x": plain.discriminator_block(named(i), "at", i["img"], clamp=256)},
    "d_block_next": lambda i: {"x": plain.discriminator_block(named(i), "at", i["x"])},
    "d_epilogue": lambda i: {"y": plain.discriminator_epilogue(named(i), "at", i["x"], i["cmap"])},
}  # fmt: skip


def loaded(module: nn.Module, inputs: Tensors) -> nn.Module:
    load_case_weights(module, inputs)
    return module.requires_grad_(False)


def ours_connected(inputs: Tensors, *, activation: str = "linear", lr: float = 1.0) -> Tensors:
    layer = FullyConnected(6, 5, activation=activation, lr_multiplier=lr, bias="sd.bias" in inputs)
    return {"y": loaded(layer, inputs)(inputs["x"])}


def ours_mapping(inputs: Tensors) -> Tensors:
    mapping, z, c = Mapping(z_dim=8, label_dim=25, w_dim=16, layers=2, num_ws=NUM_WS), inputs["z"], inputs["c"]
    loaded(mapping, inputs)
    mapping.w_avg.copy_(mean_before())
    return {
        "w": mapping(z, c), "w_psi": mapping(z, c, truncation=0.5), "w_psi_cut": mapping(z, c, truncation=0.5, cutoff=2),
        "w_c0": mapping(z, torch.zeros_like(c)),
    }  # fmt: skip


def ours_mean(inputs: Tensors) -> Tensors:
    given, expected = golden_case(FILE, "mapping_zc")
    mapping = Mapping(z_dim=8, label_dim=25, w_dim=16, layers=2, num_ws=NUM_WS)
    loaded(mapping, given)
    mapping.w_avg.copy_(inputs["w_avg_before"])
    mapping.track(expected["w"][:, 0])
    return {"w_avg_after": mapping.w_avg}


def ours_layer(inputs: Tensors, *, up: int = 1, clamp: float | None = None) -> Tensors:
    layer = loaded(SynthesisLayer(4, 6, w_dim=10, resolution=8 * up, up=up == 2, clamp=clamp), inputs)
    x, w = inputs["x"], inputs["w"]
    return {
        "y_const": layer(x, w, "const"), "y_none": layer(x, w, "none"), "y_gain": layer(x, w, "const", gain=HALF),
        "y_unfused": torch.cat([layer(x[i : i + 1], w[i : i + 1], "const") for i in range(2)]),
    }  # fmt: skip


def ours_block(inputs: Tensors, *, first: bool) -> Tensors:
    size, clamp = (4, None) if first else (16, 256)
    block = SynthesisBlock(0 if first else 4, 6, w_dim=10, resolution=size, image_channels=3, clamp=clamp)
    x, image = loaded(block, inputs)(inputs.get("x"), inputs.get("img"), inputs["ws"], "const")
    return {"x": x, "img": image}


OURS: dict[str, Run] = {
    **{case: partial(ours_connected, **how) for case, how in CONNECTED.items()},
    "normalize_2nd_moment": lambda i: {"y": normalize_second_moment(i["x"])},
    "mapping_zc": ours_mapping, "mapping_w_avg_update": ours_mean,
    "mapping_c_only_D": lambda i: {"w": loaded(Mapping(z_dim=0, label_dim=25, w_dim=16, layers=8), i)(None, i["c"])},
    **{f"mbstd_{name}": partial(lambda group, i: {"y": minibatch_deviation(i["x"], group)}, group)
       for name, (group, features) in DEVIATION.items() if features == 1},
    **{f"synthesis_layer_{name}": partial(ours_layer, **how) for name, how in LAYERS.items()},
    "torgb": lambda i: {"y": loaded(ToRGB(4, 3, w_dim=10), i)(i["x"], i["w"])},
    "synthesis_block": partial(ours_block, first=False), "synthesis_block_const": partial(ours_block, first=True),
    "d_block_first": lambda i: {"x": loaded(DiscriminatorBlock(0, 4, 8, image_channels=6, clamp=256), i)(i["img"])},
    "d_block_next": lambda i: {"x": loaded(DiscriminatorBlock(8, 8, 6), i)(i["x"])},
    "d_epilogue": lambda i: {"y": loaded(DiscriminatorEpilogue(6, label_dim=16), i)(i["x"], i["cmap"])},
}  # fmt: skip
NOT_OURS = {"mbstd_N8_G4_F2": "no network has more than one channel of deviation"}


@pytest.mark.parametrize("case", golden_cases(FILE))
def test_the_plain_form_is_the_official_one(case: str):
    inputs, outputs = golden_case(FILE, case)
    compare(PLAIN[case](inputs), outputs, 1e-5)


@pytest.mark.parametrize("case", OURS)
@torch.no_grad()
def test_our_form_is_the_official_one(case: str):
    inputs, outputs = golden_case(FILE, case)
    compare(OURS[case](inputs), outputs, 1e-5)


@pytest.mark.parametrize("case", [case for case in OURS if case.startswith(("synthesis", "torgb", "d_"))])
def test_our_form_is_the_official_one_while_learning(case: str):
    """Layers may work in place or keep less without gradients."""
    inputs, outputs = golden_case(FILE, case)
    inputs = {name: value.requires_grad_(name in ("x", "img")) for name, value in inputs.items()}
    compare(OURS[case](inputs), outputs, 1e-5)


def test_no_case_is_left_out():
    assert len(golden_cases(FILE)) == 22
    assert set(PLAIN) == set(golden_cases(FILE))
    assert set(OURS) | set(NOT_OURS) == set(golden_cases(FILE))
    assert not set(OURS) & set(NOT_OURS)
