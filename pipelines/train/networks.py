"""The two networks a training starts from: the prior's generator, and a fresh discriminator of the same size."""

from dataclasses import fields
from typing import Any

import torch
from safetensors.torch import load_file

from models.discriminators import DualDiscriminator
from models.eg3d import EG3D, FFHQ512, EG3DConfig
from pipelines.errors import UnusableMaterial
from pipelines.priors import Prior
from pipelines.train.settings import TrainSettings


def make_networks(prior: Prior, settings: TrainSettings, device: str) -> tuple[EG3D, DualDiscriminator, str]:
    """Generator, discriminator and one sentence on where the generator's weights come from."""
    config = config_for(prior, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator, discriminator = EG3D(config), DualDiscriminator(config)
    begun = "The generator starts from random weights in the prior's head space."
    if settings.network == "prior" and prior.weights is not None:
        generator.load_state_dict(load_file(prior.weights), strict=True)
        begun = f"The generator starts from the prior {prior.name}."
    return generator.to(device), discriminator.to(device), begun


def config_for(prior: Prior, settings: TrainSettings) -> EG3DConfig:
    return FFHQ512 if settings.network == "ffhq512" else config_of(prior)


def config_of(prior: Prior) -> EG3DConfig:
    known = {field.name for field in fields(EG3DConfig)}
    if unknown := set(prior.config) - known:
        raise UnusableMaterial(
            f"the prior {prior.name} has config fields this version does not know: {', '.join(sorted(unknown))}."
        )
    return EG3DConfig(**{name: _frozen(value) for name, value in prior.config.items()})


def _frozen(value: Any) -> Any:
    """JSON lists as the tuples a frozen config holds."""
    return tuple(_frozen(one) for one in value) if isinstance(value, list) else value
