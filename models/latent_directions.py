"""Directions of w that a network is made deaf to, so that they can mean something new."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class LinearLayer(Protocol):
    """(weight weight_gain) w + bias bias_gain: weight [O,w_dim], bias [O]."""

    weight: Tensor
    bias: Tensor
    weight_gain: float
    bias_gain: float


@dataclass(frozen=True)
class Listener:
    """A layer that reads w; its last `own` outputs serve one person and listen to nothing else than what is new."""

    layer: LinearLayer
    own: int = 0


@torch.no_grad()
def reserve_directions(listeners: Iterable[Listener], room: Tensor, person: Tensor) -> None:
    """Layers no longer hear the part of w along `room` [K,w_dim], a person's own outputs nothing else.

    W w + b becomes W w + b + H (person - w) with H = W R'R: nothing changes at `person` [w_dim], and wherever w differs from it
    across the room.
    """
    for listener in listeners:
        layer, own = listener.layer, listener.own
        heard, gain = layer.weight @ room.T @ room, layer.weight_gain / layer.bias_gain
        other = layer.weight - heard
        layer.weight.copy_(other)
        bias = layer.bias.add_(gain * heard @ person)
        if own:
            layer.weight[-own:] = heard[-own:]
            bias[-own:] = -gain * heard[-own:] @ person
