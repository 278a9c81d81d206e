"""Networks of the reference vectors of 3DPortraitGAN."""

import json
from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from models.portrait3d.config import PORTRAIT_TINY128, PortraitConfig
from models.portrait3d.discriminator import PoseDiscriminator
from models.portrait3d.generator import Portrait3D
from tests.material import shared
from tests.models.heads.bodies import FOLDER, smpl_like
from tests.reference import recipe_state

Network = TypeVar("Network", bound=nn.Module)


def official(config: PortraitConfig) -> PortraitConfig:
    """With the body of the vectors, and the labels as the published discriminator sees them."""
    return replace(config, compat_unmirrored_label=True, body=smpl_like().identity)


def generator() -> Portrait3D:
    network = with_recipe(Portrait3D(official(PORTRAIT_TINY128)))
    network.wear(smpl_like())
    return network


def discriminator(image_size: int = 128) -> PoseDiscriminator:
    return with_recipe(PoseDiscriminator(replace(official(PORTRAIT_TINY128), image_size=image_size)))


def with_recipe(network: Network) -> Network:
    network.load_state_dict(recipe_state({name: tuple(value.shape) for name, value in network.state_dict().items()}))
    return network


def official_names(size: int, network: str) -> dict[str, tuple[int, ...]]:
    names = json.loads(shared(f"{FOLDER}/names_{size}.json").read_text())
    return {name: tuple(shape) for name, shape in names[network].items()}


def quiet(generator: Portrait3D, judge: PoseDiscriminator) -> None:
    """What the vectors of the losses change of the recipe: no noise, and poses of some degrees."""
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.zero_()
        for head, last in ((generator.pose_branch, 2), (judge.pose_branch, 4)):
            layer = head.net[last]
            assert isinstance(layer.weight, torch.Tensor)
            layer.weight.mul_(0.3)
