"""The two networks a training starts from: the prior's generator, and its discriminator or a fresh one of the same size.

Of a published network two things change for a person (GAN-Avatar section 3.1): the mapping no longer sees a camera, so that no
expression follows the view, and rays are marched where they are in the box, because a phone's cameras stand at any distance.
"""

from dataclasses import fields, replace
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from models.eg3d.config import FFHQ512, QUICK, EG3DConfig
from models.eg3d.generator import EG3D
from models.networks.dual_discriminator import DualDiscriminator
from pipelines.artifacts.prior import Prior
from pipelines.core.errors import UnusableMaterial
from pipelines.train.settings import TrainSettings

FREE = ("basis_planes", "basis_weights.weight", "basis_weights.bias")
ENLARGING, PAINT = "superresolution.", "paint."
MOST_PAINT = 512
"""Texels a side: 24 moving sets of twice as many would take a gigabyte with their optimizer."""
PERSON_PLANES = 24
"""Free plane sets that a person gets beside the prior's."""


def make_networks(prior: Prior, settings: TrainSettings, device: str) -> tuple[EG3D, DualDiscriminator, str]:
    """Generator, discriminator and one sentence on where their weights come from."""
    config = config_for(prior, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator, discriminator = EG3D(config), DualDiscriminator(config)
    begun = "The generator starts from random weights in the prior's head space."
    if prior.weights is not None and settings.network != "fresh":
        state, own = load_file(prior.weights), generator.state_dict()
        begun = f"The generator starts from the prior {prior.name}."
        if fresh := config.image_size != config_of(prior).image_size:
            state = {name: value for name, value in state.items() if not name.startswith(ENLARGING)}
            state |= {name: value for name, value in own.items() if name.startswith(ENLARGING)}
            begun = f"Backbone and decoder start from the prior {prior.name}; super-resolution and discriminator are fresh."
        generator.load_state_dict(widened(state, own), strict=True)
        if prior.discriminator is not None and not fresh:
            discriminator.load_state_dict(load_file(prior.discriminator), strict=True)
            begun = f"Generator and discriminator start from the prior {prior.name}."
    return generator.to(device), discriminator.to(device), begun


def config_for(prior: Prior, settings: TrainSettings) -> EG3DConfig:
    """Of a person's networks; all but fresh ones fit the prior's weights."""
    if settings.network == "fresh":
        config = QUICK if prior.codes is not None else config_of(prior)
    else:
        config = config_of(prior) if prior.weights is None else for_a_person(config_of(prior))
    if settings.network == "512" and config.image_size < FFHQ512.image_size:
        config = enlarged(config)
    return replace(config, paint=min(settings.paint * config.image_size, MOST_PAINT))


def enlarged(config: EG3DConfig) -> EG3DConfig:
    """The same head at 512x512, with FFHQ's rays, samples, super-resolution and discriminator."""
    taken = (
        "image_size", "neural_rendering_resolution", "depth_resolution", "depth_resolution_importance", "superresolution",
        "superresolution_channels", "discriminator_channel_max",
    )  # fmt: skip
    official = {name: getattr(FFHQ512, name) for name in taken}
    official["discriminator_channel_max"] = FFHQ512.channel_max
    return replace(config, **official, discriminator_channel_base=FFHQ512.channel_base)


def for_a_person(config: EG3DConfig) -> EG3DConfig:
    """No camera in the mapping, rays wherever the head is, and where planes are free, some more of them for the person."""
    basis = config.basis_planes + PERSON_PLANES if config.basis_planes else 0
    return replace(config, c_gen_conditioning_zero=True, ray_start="auto", ray_end="auto", basis_planes=basis)


def widened(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The prior's state with a person's paint, and further free planes behind the prior's: empty, moved by random weights."""
    result = {name: value for name, value in own.items() if name == "back_plane" or name.startswith(PAINT)} | state
    for name in FREE:
        if name in own and len(own[name]) > len(state[name]):
            added = own[name][len(state[name]) :]
            added = torch.zeros_like(added) if name == "basis_planes" else added
            result[name] = torch.cat([state[name].to(added.dtype), added])
    return result


def config_of(prior: Prior) -> EG3DConfig:
    if prior.family != "eg3d":
        raise UnusableMaterial(f"the prior {prior.name} is of the family {prior.family}; avatars are trained from eg3d so far.")
    known = {field.name for field in fields(EG3DConfig)}
    if unknown := set(prior.config) - known:
        raise UnusableMaterial(
            f"the prior {prior.name} has config fields this version does not know: {', '.join(sorted(unknown))}."
        )
    return EG3DConfig(**{name: _frozen(value) for name, value in prior.config.items()})


def _frozen(value: Any) -> Any:
    """JSON lists as the tuples a frozen config holds."""
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
