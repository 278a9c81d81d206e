"""Room for a person among the latents of a prior that knows people.

What a person's frames do is learned from where their latents begin, spread by what tells the frames apart
(pipelines.train.latent_init). In directions that mean something to the prior such a spread makes another head of every frame,
and the first hundred steps make the generator deaf to its latents: after 200 steps on the demo's clip the jaw of the fitted
latents followed the frames at 0.28, in freed directions at 0.65. So directions that none of the prior's people use are freed:
no layer of the prior hears them, only the free planes that the person gets, and those begin empty.
"""

import torch
from torch import Tensor

from models.generator import Generator
from models.latent_directions import reserve_directions
from pipelines.artifacts.prior import PriorCodes

ROOM = 24
"""Freed directions: as many as components that the latents start from, at most a quarter of w."""


def free_directions(codes: PriorCodes, count: int = ROOM) -> Tensor:
    """[count,w_dim] orthonormal: the directions in which people and expressions move w least."""
    known = torch.cat([torch.from_numpy(codes.people), torch.from_numpy(codes.spread[:, None] * codes.directions)])
    return torch.linalg.svd(known, full_matrices=True).Vh[-min(count, known.shape[1] // 4) :].contiguous()


def has_room(generator: Generator) -> bool:
    """Whether something in the generator is the person's own and could listen to freed directions."""
    return any(listener.own for listener in generator.listeners())


def make_room(generator: Generator, room: Tensor, person: Tensor) -> None:
    """The prior's layers become deaf to w along `room` [K,w_dim] around `person` [w_dim], if somebody else listens."""
    if has_room(generator):
        reserve_directions(generator.listeners(), room, person)
