"""The networks a training starts from: the prior's generator and discriminator, or fresh ones of the same family."""

from typing import Any

import torch
from safetensors.torch import load_file

from models.families import Judge
from models.generator import Generator
from pipelines.artifacts.family import config_of, family_of
from pipelines.artifacts.prior import Prior
from pipelines.core.errors import SettingError
from pipelines.engine.judges import load_states, states_in
from pipelines.train.settings import TrainSettings

LARGE = 512
"""The image size of `network=512`; priors that are larger keep theirs."""


def make_networks(prior: Prior, settings: TrainSettings, device: str) -> tuple[Generator, dict[str, Judge], str]:
    """Generator, discriminators and one sentence on where their weights come from."""
    family, config = family_of(prior.family, f"the prior {prior.name}"), config_for(prior, settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        generator, judges = family.build(config), dict(family.discriminators(config))
    begun = "The generator starts from random weights in the prior's head space."
    if prior.weights is not None and settings.network != "fresh":
        state, resized = load_file(prior.weights), config.image_size != config_of(prior).image_size
        generator.load_state_dict(family.transfer(state, generator.state_dict(), resized=resized), strict=True)
        begun = f"The generator starts from the prior {prior.name}."
        if resized:
            begun = f"Backbone and decoder start from the prior {prior.name}; super-resolution and discriminator are fresh."
        elif prior.discriminator is not None:
            load_states(judges, states_in(load_file(prior.discriminator), judges), str(prior.discriminator))
            begun = f"Generator and discriminator start from the prior {prior.name}."
    for judge in judges.values():
        judge.network.to(device)
    return generator.to(device), judges, begun


def config_for(prior: Prior, settings: TrainSettings) -> Any:
    """Of a person's networks; all but fresh ones fit the prior's weights."""
    family, config = family_of(prior.family, f"the prior {prior.name}"), config_of(prior)
    if settings.network == "fresh" and prior.codes is not None:
        config = family.fresh(config)
    larger = LARGE if settings.network == "512" and config.image_size < LARGE else None
    if size := settings.image_size or larger:
        try:
            config = family.resized(config, size)
        except ValueError as error:
            raise SettingError(f"image_size={size}: {error}.") from error
    from_prior = settings.network != "fresh" and prior.weights is not None
    return family.personal(config, paint=settings.paint, from_prior=from_prior)
