"""All 58 cases of `ops_conv`: the plain reference runs every one, the networks' own functions all that they have."""

from collections.abc import Callable
from functools import partial

import pytest
import torch

from models.networks.stylegan2 import resampling
from models.networks.stylegan2.layers import bias_act, modulated_convolution
from models.networks.stylegan2.resampling import binomial_filter
from tests import plain
from tests.reference import Tensors, compare, golden_case, golden_cases

Run = Callable[[Tensors], Tensors]
FILE = "ops_conv"

FILTERS = {"1331": [1, 3, 3, 1], "8tap": list(range(1, 9)), "asym": [1, 2, 4]}
FIR = {
    "plain": {}, "up2": {"up": (2, 2), "padding": (2, 1, 2, 1), "gain": 4}, "down2": {"down": (2, 2), "padding": (1, 1, 1, 1)},
    "up_xy": {"up": (2, 1), "padding": (3, 2, 1, 0)}, "neg_pad": {"padding": (-1, 2, 3, -2)},
    "flip": {"padding": (1, 1, 1, 1), "flip": True}, "noflip": {"padding": (1, 1, 1, 1)},
    "sep8": {"up": (2, 2), "down": (3, 3), "padding": (4, 4, 4, 4), "gain": 2.0},
}  # fmt: skip
WAYS = {
    "same": {}, "up2": {"up": 2}, "down2": {"down": 2}, "up2_noflip": {"up": 2, "flip": False}, "updown": {"up": 2, "down": 2},
}  # fmt: skip
RESAMPLED = {f"k{k}_{name}": {"padding": (k // 2,) * 4, **options} for k in (1, 3) for name, options in WAYS.items()}
RESAMPLED |= {"generic_asym": {"padding": (1, 0, 2, 1)}, "groups_up2": {"up": 2, "padding": (1, 1, 1, 1), "groups": 2}}
MODULATED = {
    "k3": {}, "k3_noise": {}, "k3_up2": {"up": 2}, "k3_up2_noise": {"up": 2}, "k3_down2": {"down": 2},
    "k3_nodemod": {"demodulate": False}, "torgb": {"demodulate": False},
}  # fmt: skip
MODES = ("antialiased", "classic", "none", 0.5)
SIZES = (7, 8, 32)


def y(run: Callable[[Tensors], torch.Tensor]) -> Run:
    return lambda inputs: {"y": run(inputs)}


def modulated_both_ways(inputs: Tensors, **options) -> Tensors:
    given = inputs["x"], inputs["weight"], inputs["styles"]
    return {
        f"y_{name}": plain.modulated_convolution(*given, noise=inputs.get("noise"), fused=name == "fused", **options)
        for name in ("fused", "unfused")
    }


def modulated_half(inputs: Tensors) -> torch.Tensor:
    return plain.modulated_convolution(inputs["x"].half(), inputs["weight"], inputs["styles"], fused=False)


PLAIN: dict[str, Run] = {
    **{f"setup_filter_{name}": partial(lambda taps, _: {"f": plain.setup_filter(torch.tensor(taps).float())}, taps)
       for name, taps in FILTERS.items()},
    **{f"upfirdn2d_{name}": y(partial(lambda how, i: plain.upfirdn(i["x"], i["f"], **how), how)) for name, how in FIR.items()},
    "upfirdn2d_none": y(lambda i: plain.upfirdn(i["x"], None, up=(2, 2))),
    "upsample2d": y(lambda i: plain.upsample(i["x"], plain.BINOMIAL)),
    "downsample2d": y(lambda i: plain.upfirdn(i["x"], plain.BINOMIAL, down=(2, 2), padding=(1, 1, 1, 1))),
    **{f"blur_sigma{sigma:g}": partial(lambda s, i: {"f": plain.blur_filter(s), "y": plain.blurred(i["x"], s)}, sigma)
       for sigma in (1.0, 2.5)},
    **{f"conv2d_resample_{name}":
       y(partial(lambda how, i: plain.resampled_convolution(i["x"], i["w"], plain.BINOMIAL, **how), how))
       for name, how in RESAMPLED.items()},
    **{f"modconv_{name}": partial(lambda how, i: modulated_both_ways(i, **how), how) for name, how in MODULATED.items()},
    "modconv_k3_fp16": y(modulated_half),
    **{f"bias_act_{name}": y(partial(lambda name, i: plain.bias_act(i["x"], i["b"], name), name))
       for name in plain.ACTIVATIONS},
    "bias_act_lrelu_gain_clamp": y(lambda i: plain.bias_act(i["x"], i["b"], "lrelu", gain=1.0, clamp=0.75)),
    **{f"filtered_resizing_{mode}_{size}": y(partial(lambda size, mode, i: plain.resized(i["x"], size, mode), size, mode))
       for mode in MODES for size in SIZES},
}  # fmt: skip


def ours_modulated(inputs: Tensors, **options) -> Tensors:
    """The whole batch, and every sample alone, which may take another way."""
    x, weight, styles = inputs["x"], inputs["weight"], inputs["styles"]
    alone = [modulated_convolution(x[i : i + 1], weight, styles[i : i + 1], **options) for i in range(len(x))]
    return {"y_fused": torch.cat(alone), "y_unfused": modulated_convolution(x, weight, styles, **options)}


OURS: dict[str, Run] = {
    "setup_filter_1331": lambda _: {"f": binomial_filter()},
    **{f"upfirdn2d_{name}": y(partial(lambda how, i: resampling.upfirdn(i["x"], i["f"], **how), how))
       for name, how in FIR.items()},
    "upsample2d": y(lambda i: resampling.upsample(i["x"], binomial_filter())),
    "downsample2d": y(lambda i: resampling.filtered(i["x"], binomial_filter(), padding=1, stride=2)),
    **{f"blur_sigma{sigma:g}": y(partial(lambda sigma, i: resampling.blur(i["x"], sigma), sigma)) for sigma in (1.0, 2.5)},
    "conv2d_resample_k3_up2_noflip": y(lambda i: resampling.upsampled_convolution(i["x"], i["w"], binomial_filter())),
    **{f"conv2d_resample_{name}": y(lambda i: resampling.downsampled_convolution(i["x"], i["w"], binomial_filter()))
       for name in ("k1_down2", "k3_down2")},
    "modconv_k3": ours_modulated, "modconv_k3_up2": partial(ours_modulated, up_filter=binomial_filter()),
    "modconv_k3_nodemod": partial(ours_modulated, demodulate=False), "modconv_torgb": partial(ours_modulated, demodulate=False),
    "modconv_k3_fp16": y(lambda i: modulated_convolution(i["x"].half(), i["weight"], i["styles"])),
    **{f"bias_act_{name}": y(partial(lambda name, i: bias_act(i["x"], i["b"], name), name)) for name in ("linear", "lrelu")},
    "bias_act_lrelu_gain_clamp":  # the official function takes the limit after the gain
        y(lambda i: bias_act(i["x"], i["b"], "lrelu", gain=0.5**0.5, clamp=0.75 / 0.5**0.5)),
    **{f"filtered_resizing_antialiased_{size}": y(partial(lambda size, i: resampling.resize(i["x"], size), size))
       for size in SIZES},
}  # fmt: skip
NOT_OURS = {
    "filters that no network has": ("setup_filter_8tap", "setup_filter_asym", "upfirdn2d_none"),
    "plain F.conv2d here": ("conv2d_resample_k1_same", "conv2d_resample_k3_same"),
    "combinations that no network uses": (
        *(f"conv2d_resample_{name}" for name in ("k1_up2", "k1_up2_noflip", "k1_updown", "k3_up2", "k3_updown")),
        "conv2d_resample_generic_asym", "conv2d_resample_groups_up2", "modconv_k3_down2",
    ),
    "noise is part of SynthesisLayer, see ops_layers": ("modconv_k3_noise", "modconv_k3_up2_noise"),
    "activations that no network uses": tuple(
        f"bias_act_{name}" for name in ("relu", "tanh", "sigmoid", "elu", "selu", "softplus", "swish")
    ),
    "real images are resized antialiased only": tuple(
        f"filtered_resizing_{mode}_{size}" for mode in ("classic", "none", 0.5) for size in SIZES
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", golden_cases(FILE))
def test_the_plain_form_is_the_official_one(case: str):
    inputs, outputs = golden_case(FILE, case)
    found = PLAIN[case](inputs)
    compare({name: found[name] for name in outputs}, outputs, 2e-3 if case.endswith("fp16") else 1e-5)


@pytest.mark.parametrize("case", OURS)
def test_our_form_is_the_official_one(case: str):
    inputs, outputs = golden_case(FILE, case)
    found = OURS[case](inputs)
    outputs.setdefault("y_unfused", outputs.get("y_fused", torch.empty(0)))  # toRGB was stored once
    compare(found, {name: outputs[name] for name in found}, 2e-3 if case.endswith("fp16") else 1e-5)


def test_no_case_is_left_out():
    assert len(golden_cases(FILE)) == 58
    assert set(PLAIN) == set(golden_cases(FILE))
    left_out = {case for cases in NOT_OURS.values() for case in cases}
    assert not left_out & set(OURS)
    assert left_out | set(OURS) == set(golden_cases(FILE))
