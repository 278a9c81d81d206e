"""What can be read off a published network of the StyleGAN2 line: attributes, rendering options, shapes of tensors.

Families read their configs with these functions (`models.families.Importer`); how the file is opened is not their concern.

Notable choices:
- what shapes can say is taken from shapes; options say the rest;
- the plane convention belongs to the weights and is read from the renderer's own axes; an unknown one is refused;
- a missing `c_scale` means 0 in the release, so it means 0 here.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import numpy as np

from models.head_frame import HeadFrame
from models.networks.superresolution import VARIANTS
from models.volumes.decoders import Activation
from models.volumes.planes import PLANE_AXES

Options = dict[str, Any]
RADIUS, FOCAL = 2.7, 4.2647
"""FFHQ's cameras: distance from the origin, head units, and focal length over image width."""
FFHQ_FRAME = HeadFrame.of_scale(meters_per_unit=0.370, crop_extent=round(RADIUS / FOCAL, 4))
"""The radius of these cameras is one meter, and a frontal image shows 0.6331 units (23.4 cm) at the depth of the origin."""


class NotUnderstood(Exception):
    """Why a network cannot be read: the predicate of a sentence whose subject is the file."""


class StatedOtherwise(Exception):
    """The network itself names another plane convention, `actual`, than was stated."""

    def __init__(self, actual: str):
        super().__init__(f"the network's own renderer says {actual}")
        self.actual = actual


class PublishedModule(Protocol):
    """A module of the file: the name of its class, its attributes, its children."""

    @property
    def class_name(self) -> str: ...

    def attribute(self, name: str, default: Any = None) -> Any: ...

    def array(self, name: str) -> np.ndarray | None:
        """The attribute as numbers where it is a tensor, else None."""
        ...

    def child(self, path: str) -> "PublishedModule | None": ...


@dataclass(frozen=True, kw_only=True)
class PublishedNetwork:
    """A generator, the discriminator that came with it, and what the user stated."""

    generator: PublishedModule
    state: Mapping[str, np.ndarray]
    discriminator: PublishedModule | None = None
    discriminator_state: Mapping[str, np.ndarray] | None = None
    plane_axes: str | None = None
    """A name of PLANE_AXES, for renderers that do not say it."""

    @property
    def arguments(self) -> Options:
        """What the generator was made with."""
        return as_dict(self.generator.attribute("_init_kwargs"), "_init_kwargs")

    @property
    def options(self) -> Options:
        """Its rendering options."""
        return as_dict(self.generator.attribute("rendering_kwargs"), "rendering_kwargs")


def volume_config(network: PublishedNetwork) -> Options:
    """The config fields that volume generators on a StyleGAN2 backbone share."""
    options, given, generator, state = network.options, network.arguments, network.generator, network.state
    if options.get("clamp_mode", "softplus") != "softplus":
        raise NotUnderstood("has another density activation than softplus")
    channel_max = integer(None, given, "channel_max", 512, most=8192)
    return {
        "z_dim": integer(generator, given, "z_dim", most=8192),
        "channel_base": integer(None, given, "channel_base", 32768, most=1 << 20), "channel_max": channel_max,
        "plane_axes": axes_of(generator.child("renderer"), network.plane_axes),
        "image_size": integer(generator, given, "img_resolution", most=2048),
        "neural_rendering_resolution": integer(generator, given, "neural_rendering_resolution", most=1024),
        "decoder_lr_mul": real(options, "decoder_lr_mul", 1.0), "sr_antialias": boolean(options, "sr_antialias", True),
        "c_gen_conditioning_zero": boolean(options, "c_gen_conditioning_zero", False),
        "c_scale": real(options, "c_scale", 0.0), **_mapping(state, integer(generator, given, "w_dim", most=8192)),
        **_rays(options), **_discriminator(network.discriminator, channel_max),
    }  # fmt: skip


def plane_channels(state: Mapping[str, np.ndarray], planes: int) -> int:
    """Channels of each of so many planes."""
    channels = shape(state, "backbone.synthesis.b4.torgb.weight")[0]
    if channels % planes:
        raise NotUnderstood(f"has {channels} plane channels, which {planes} does not divide")
    return channels // planes


def superresolution(network: PublishedNetwork) -> tuple[str, tuple[int, int]]:
    """Its name in VARIANTS, by its class, and the channels of its blocks."""
    module = network.generator.child("superresolution")
    kind = "of no name" if module is None else module.class_name.rsplit(".", 1)[-1]
    name = kind.removeprefix("SuperresolutionHybrid")
    if name not in VARIANTS:
        raise NotUnderstood(f"has the super-resolution {kind}; known are those of {', '.join(VARIANTS)}")
    first, second = (shape(network.state, f"superresolution.block{number}.conv1.weight")[0] for number in (0, 1))
    return name, (first, second)


def activation_of(options: Options) -> Activation:
    """Of the decoder's color features."""
    activation = options.get("decoder_activation", "sigmoid")
    if activation not in get_args(Activation):
        raise NotUnderstood(f"has the decoder activation {str(activation)[:80]}; known are {', '.join(get_args(Activation))}")
    return activation


def axes_of(renderer: PublishedModule | None, stated: str | None) -> str:
    """The name in PLANE_AXES of a renderer's [3,3,3] axes; NotUnderstood when they are unknown and nobody stated a name.

    A plane's matrix has as rows the directions of its width, its height and its normal; so the rows 0 and 1 of
    [[0,0,1],[1,0,0],[0,1,0]] read (z, x): the third plane of the first release. StatedOtherwise when both differ.
    """
    matrices = None if renderer is None else renderer.array("plane_axes")
    actual = None
    if matrices is not None and matrices.shape == (3, 3, 3):
        matrices = matrices.astype(np.float64)
        pairs = tuple((int(matrix[0].argmax()), int(matrix[1].argmax())) for matrix in matrices)
        whole = all(np.array_equal(matrix @ matrix.T, np.eye(3)) and matrix.min() >= 0 for matrix in matrices)
        actual = next((name for name, axes in PLANE_AXES.items() if whole and axes == pairs), None)
    if actual and stated and actual != stated:
        raise StatedOtherwise(actual)
    if not actual and not stated:
        raise NotUnderstood(f"does not say which planes it reads (state one with --plane-axes: {', '.join(PLANE_AXES)})")
    return str(actual or stated)


def integer(
    module: PublishedModule | None, given: Options, name: str, default: Any = None, *, most: int, least: int = 1
) -> int:
    """A whole number from the module's attribute or its init arguments."""
    value = given.get(name, default) if module is None else module.attribute(name, given.get(name, default))
    if type(value) is not int or not least <= value <= most:
        raise NotUnderstood(f"has a {name} that is not a whole number from {least} to {most}")
    return value


def real(options: Options, name: str, default: float | None = None) -> float:
    value = options.get(name, default)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise NotUnderstood(f"has a {name} that is not a number")
    return float(value)


def boolean(options: Options, name: str, default: bool) -> bool:
    value = options.get(name, default)
    if type(value) not in (bool, int) or value not in (0, 1):
        raise NotUnderstood(f"has a {name} that is neither true nor false")
    return bool(value)


def shape(state: Mapping[str, np.ndarray], name: str) -> tuple[int, ...]:
    """Of a tensor with at least one dimension."""
    if name not in state or not state[name].ndim:
        raise NotUnderstood(f"has no tensor {name}")
    return state[name].shape


def as_dict(value: Any, name: str) -> Options:
    if type(value) is not dict:
        raise NotUnderstood(f"has no {name} to read its configuration from")
    return value


def _mapping(state: Mapping[str, np.ndarray], w_dim: int) -> Options:
    """What shapes say of mapping, planes and decoder."""
    layers = sum(bool(re.fullmatch(r"backbone\.mapping\.fc\d+\.weight", name)) for name in state)
    sizes = [re.fullmatch(r"backbone\.synthesis\.b(\d{1,4})\.torgb\.weight", name) for name in state]
    embed, hidden = shape(state, "backbone.mapping.embed.weight")[0], shape(state, "backbone.mapping.fc0.weight")[0]
    return {
        "w_dim": w_dim, "mapping_layers": layers, "mapping_embed": None if embed == w_dim else embed,
        "mapping_hidden": None if hidden == w_dim or layers == 1 else hidden,
        "plane_resolution": max((int(size[1]) for size in sizes if size), default=0),
        "decoder_hidden": shape(state, "decoder.net.0.weight")[0],
        "decoder_features": shape(state, "decoder.net.2.weight")[0] - 1,
    }  # fmt: skip


def _rays(options: Options) -> Options:
    names = "ray_start", "ray_end"
    limits = {name: "auto" if options.get(name) == "auto" else real(options, name) for name in names}
    if (limits["ray_start"] == "auto") != (limits["ray_end"] == "auto"):
        raise NotUnderstood("has one automatic ray limit and one that is not")
    return limits | {
        "depth_resolution": integer(None, options, "depth_resolution", most=4096), "box_warp": real(options, "box_warp"),
        "depth_resolution_importance": integer(None, options, "depth_resolution_importance", 0, most=4096, least=0),
    }  # fmt: skip


def _discriminator(judge: PublishedModule | None, channel_max: int) -> Options:
    if judge is None:
        return {}
    given = as_dict(judge.attribute("_init_kwargs"), "_init_kwargs")
    most = integer(None, given, "channel_max", 512, most=8192)
    noise = real({"disc_c_noise": judge.attribute("disc_c_noise", given.get("disc_c_noise", 0))}, "disc_c_noise")
    return {"discriminator_channel_max": None if most == channel_max else most, "disc_c_noise": noise}
