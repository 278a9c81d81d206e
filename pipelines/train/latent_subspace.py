"""Room for a person among the latents of a prior that knows people.

What a person's frames do is learned from where their latents begin, spread by what tells the frames apart
(pipelines.train.latent_init). In directions that mean something to the prior such a spread makes another head of every frame,
and the first hundred steps make the generator deaf to its latents: after 200 steps on the demo's clip the jaw of the fitted
latents followed the frames at 0.28, in freed directions at 0.65. So directions that none of the prior's people use are freed:
no layer of the prior hears them, only the free planes that the person gets, and those begin empty.
"""

import torch
from torch import Tensor

from models.eg3d.config import PERSON_PLANES
from models.eg3d.generator import EG3D
from models.networks.stylegan2.layers import FullyConnected
from pipelines.artifacts.prior import PriorCodes

ROOM = 24
"""Freed directions: as many as components that the latents start from, at most a quarter of w."""


def free_directions(codes: PriorCodes, count: int = ROOM) -> Tensor:
    """[count,w_dim] orthonormal: the directions in which people and expressions move w least."""
    known = torch.cat([torch.from_numpy(codes.people), torch.from_numpy(codes.spread[:, None] * codes.directions)])
    return torch.linalg.svd(known, full_matrices=True).Vh[-min(count, known.shape[1] // 4) :].contiguous()


@torch.no_grad()
def make_room(generator: EG3D, room: Tensor, person: Tensor) -> None:
    """Layers no longer hear the part of w along `room` [K,w_dim], the person's own planes nothing else.

    W w + b becomes W w + b + H (person - w) with H = W R'R: nothing changes at `person` [w_dim], and wherever w differs from it
    across the room.
    """
    config = generator.config
    own = {"basis_weights": PERSON_PLANES if config.basis_planes else 0, "paint.weights": config.paint_sets}
    for name, layer in generator.named_modules():
        if not isinstance(layer, FullyConnected) or layer.weight.shape[1] != len(person) or layer.bias is None:
            continue
        if name.startswith(("backbone.mapping", "decoder")):
            continue
        heard, gain = layer.weight @ room.T @ room, layer.weight_gain / layer.bias_gain
        other = layer.weight - heard
        layer.weight.copy_(other)
        bias = layer.bias.add_(gain * heard @ person)
        if count := own.get(name, 0):
            layer.weight[-count:] = heard[-count:]
            bias[-count:] = -gain * heard[-count:] @ person
