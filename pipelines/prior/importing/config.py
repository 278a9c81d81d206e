"""The configuration of a published network, read from its attributes, its rendering options and its tensors' shapes.

Notable choices:
- what shapes can say is taken from shapes; options say the rest. Every name and shape is compared with our network of the
  result afterwards (pipelines.prior.importing.networks), so a wrong reading is an error and never a silent other network;
- the plane convention belongs to the weights and is read from the renderer's own axes; an unknown one is refused;
- a missing `c_scale` means 0 in the release, so it means 0 here;
- in-place raw images (`compat_inplace_raw`) are switched on where the release's network really returned them, since its
  discriminator has seen no others.
"""

import math
import re
from typing import Any, get_args

import numpy as np

from models.eg3d.config import EG3DConfig
from models.networks.superresolution import VARIANTS
from models.panohead.config import PanoHeadConfig
from models.volumes.decoders import Activation
from models.volumes.planes import PLANE_AXES
from pipelines.core.errors import SettingError
from pipelines.prior.importing.pickles import Refused, harmless
from pipelines.prior.importing.snapshot import Module
from pipelines.prior.importing.storages import Tensor

State = dict[str, np.ndarray]
Options = dict[str, Any]


def config_of(generator: Module, state: State, judge: Module | None, plane_axes: str | None) -> EG3DConfig | PanoHeadConfig:
    """The configuration of G_ema, with what its discriminator adds; Refused says what is not understood."""
    options, given = options_of(generator), _dict(generator.attribute("_init_kwargs"), "_init_kwargs")
    if options.get("clamp_mode", "softplus") != "softplus":
        raise Refused("has another density activation than softplus")
    channel_max = _whole(None, given, "channel_max", 512, most=8192)
    common = {
        "z_dim": _whole(generator, given, "z_dim", most=8192),
        "channel_base": _whole(None, given, "channel_base", 32768, most=1 << 20), "channel_max": channel_max,
        "plane_axes": axes_of(generator.child("renderer"), plane_axes),
        "image_size": _whole(generator, given, "img_resolution", most=2048),
        "neural_rendering_resolution": _whole(generator, given, "neural_rendering_resolution", most=1024),
        "decoder_lr_mul": _real(options, "decoder_lr_mul", 1.0), "sr_antialias": _truth(options, "sr_antialias", True),
        "c_gen_conditioning_zero": _truth(options, "c_gen_conditioning_zero", False), "c_scale": _real(options, "c_scale", 0.0),
        **_mapping(state, _whole(generator, given, "w_dim", most=8192)), **_volume(options),
        **_discriminator(judge, channel_max),
    }  # fmt: skip
    return _panohead(generator, state, options, common) if is_panohead(state) else _eg3d(generator, state, options, common)


def is_panohead(state: State) -> bool:
    return any(name.startswith(("bcg_synthesis.", "t_mapping.")) for name in state)


def options_of(generator: Module) -> Options:
    return _dict(generator.attribute("rendering_kwargs"), "rendering_kwargs")


def _eg3d(generator: Module, state: State, options: Options, common: Options) -> EG3DConfig:
    name, channels = _superresolution(generator, state)
    variant = VARIANTS[name]
    raw, taken = common["neural_rendering_resolution"], common["image_size"] >> variant.doublings
    return EG3DConfig(
        **common, plane_channels=_plane_channels(state, 3), superresolution=name,
        superresolution_channels=None if channels == variant.channels else channels,
        compat_inplace_raw=variant.doublings == 1 and (raw == taken or (raw > taken and variant.enlarge_only)),
        white_back=_truth(options, "white_back", False),
        disparity_space_sampling=_truth(options, "disparity_space_sampling", False),
    )  # fmt: skip


def _panohead(generator: Module, state: State, options: Options, common: Options) -> PanoHeadConfig:
    if _truth(options, "white_back", False) or _truth(options, "disparity_space_sampling", False):
        raise Refused("is a PanoHead network with a white background or samples by disparity, which ours has not")
    activation = options.get("decoder_activation", "sigmoid")
    if activation not in get_args(Activation):
        raise Refused(f"has the decoder activation {harmless(activation)}; known are {', '.join(get_args(Activation))}")
    depth = _whole(None, options, "triplane_depth", 1, most=256)
    return PanoHeadConfig(
        **common, plane_channels=_plane_channels(state, 3 * depth), triplane_depth=depth, decoder_activation=activation,
        use_torgb_raw="torgb.weight" in state, use_background=any(name.startswith("bcg_synthesis.") for name in state),
        superresolution=_superresolution(generator, state)[0],
    )  # fmt: skip


def _mapping(state: State, w_dim: int) -> Options:
    """What shapes say of mapping, planes and decoder."""
    layers = sum(bool(re.fullmatch(r"backbone\.mapping\.fc\d+\.weight", name)) for name in state)
    sizes = [re.fullmatch(r"backbone\.synthesis\.b(\d{1,4})\.torgb\.weight", name) for name in state]
    embed, hidden = _shape(state, "backbone.mapping.embed.weight")[0], _shape(state, "backbone.mapping.fc0.weight")[0]
    return {
        "w_dim": w_dim, "mapping_layers": layers, "mapping_embed": None if embed == w_dim else embed,
        "mapping_hidden": None if hidden == w_dim or layers == 1 else hidden,
        "plane_resolution": max((int(size[1]) for size in sizes if size), default=0),
        "decoder_hidden": _shape(state, "decoder.net.0.weight")[0],
        "decoder_features": _shape(state, "decoder.net.2.weight")[0] - 1,
    }  # fmt: skip


def _plane_channels(state: State, planes: int) -> int:
    channels = _shape(state, "backbone.synthesis.b4.torgb.weight")[0]
    if channels % planes:
        raise Refused(f"has {channels} plane channels, which {planes} does not divide")
    return channels // planes


def _volume(options: Options) -> Options:
    names = "ray_start", "ray_end"
    limits = {name: "auto" if options.get(name) == "auto" else _real(options, name) for name in names}
    if (limits["ray_start"] == "auto") != (limits["ray_end"] == "auto"):
        raise Refused("has one automatic ray limit and one that is not")
    return limits | {
        "depth_resolution": _whole(None, options, "depth_resolution", most=4096), "box_warp": _real(options, "box_warp"),
        "depth_resolution_importance": _whole(None, options, "depth_resolution_importance", 0, most=4096, least=0),
    }  # fmt: skip


def _superresolution(generator: Module, state: State) -> tuple[str, tuple[int, int]]:
    """Its name in VARIANTS, by its class, and the channels of its blocks."""
    module = generator.child("superresolution")
    kind = "of no name" if module is None else module.class_name.rsplit(".", 1)[-1]
    name = kind.removeprefix("SuperresolutionHybrid")
    if name not in VARIANTS:
        raise Refused(f"has the super-resolution {harmless(kind)}; known are those of {', '.join(VARIANTS)}")
    return name, (
        _shape(state, "superresolution.block0.conv1.weight")[0],
        _shape(state, "superresolution.block1.conv1.weight")[0],
    )


def _discriminator(judge: Module | None, channel_max: int) -> Options:
    if judge is None:
        return {}
    given = _dict(judge.attribute("_init_kwargs"), "_init_kwargs")
    most = _whole(None, given, "channel_max", 512, most=8192)
    noise = _real({"disc_c_noise": judge.attribute("disc_c_noise", given.get("disc_c_noise", 0))}, "disc_c_noise")
    return {"discriminator_channel_max": None if most == channel_max else most, "disc_c_noise": noise}


def axes_of(renderer: Module | None, stated: str | None) -> str:
    """The name in PLANE_AXES of a renderer's [3,3,3] axes; Refused when they are unknown and nobody stated a name.

    A plane's matrix has as rows the directions of its width, its height and its normal; so the rows 0 and 1 of
    [[0,0,1],[1,0,0],[0,1,0]] read (z, x): the third plane of the first release.
    """
    tensor = None if renderer is None else renderer.attribute("plane_axes")
    found = None
    if type(tensor) is Tensor and tensor.view.shape == (3, 3, 3):
        matrices = tensor.array().astype(np.float64)
        pairs = tuple((int(matrix[0].argmax()), int(matrix[1].argmax())) for matrix in matrices)
        whole = all(np.array_equal(matrix @ matrix.T, np.eye(3)) and matrix.min() >= 0 for matrix in matrices)
        found = next((name for name, axes in PLANE_AXES.items() if whole and axes == pairs), None)
    if found and stated and found != stated:
        raise SettingError(f"--plane-axes {stated}: the network's own renderer says {found}; leave the flag out.")
    if not found and not stated:
        raise Refused(f"does not say which planes it reads (state one with --plane-axes: {', '.join(PLANE_AXES)})")
    return str(found or stated)


def plain_options(generator: Module) -> Options:
    """The rendering options as published: numbers, truth values and short texts only."""
    kinds = (int, float, bool, str)
    return {
        harmless(name): harmless(value) if type(value) is str else value
        for name, value in options_of(generator).items()
        if type(value) in kinds and not (type(value) is float and not math.isfinite(value))
    }


def _dict(value: Any, name: str) -> Options:
    if type(value) is not dict:
        raise Refused(f"has no {name} to read its configuration from")
    return value


def _whole(module: Module | None, given: Options, name: str, default: Any = None, *, most: int, least: int = 1) -> int:
    """A whole number from the module's attribute or its init arguments."""
    value = given.get(name, default) if module is None else module.attribute(name, given.get(name, default))
    if type(value) is not int or not least <= value <= most:
        raise Refused(f"has a {name} that is not a whole number from {least} to {most}")
    return value


def _real(options: Options, name: str, default: float | None = None) -> float:
    value = options.get(name, default)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise Refused(f"has a {name} that is not a number")
    return float(value)


def _truth(options: Options, name: str, default: bool) -> bool:
    value = options.get(name, default)
    if type(value) not in (bool, int) or value not in (0, 1):
        raise Refused(f"has a {name} that is neither true nor false")
    return bool(value)


def _shape(state: State, name: str) -> tuple[int, ...]:
    if name not in state or not state[name].ndim:
        raise Refused(f"has no tensor {name}")
    return state[name].shape
