"""Latents of the auto-decoder: w of a person in a state is linear in what is known of both, plus what is the person's own.

w = base + (description - mean) / spread A + own[person] + labels B. The rows of B are the expression directions that ship with
the prior. Linear, so that a direction does the same to everybody and neutral is no expression's neighbor.
"""

import torch
from torch import Tensor, nn


class Codes(nn.Module):
    """People [L] and labels [L,E] -> w [L,w_dim]."""

    described: Tensor
    """[people,D] standardized."""

    def __init__(self, *, described: Tensor, labels: int, w_dim: int):
        super().__init__()
        self.register_buffer("described", described)
        self.base = nn.Parameter(torch.zeros(w_dim))
        self.known = nn.Parameter(0.5 * described.shape[1] ** -0.5 * torch.randn(described.shape[1], w_dim))
        self.own = nn.Parameter(torch.zeros(len(described), w_dim))
        self.directions = nn.Parameter(0.2 * torch.randn(labels, w_dim))

    def identity(self, person: Tensor) -> Tensor:
        """w [L,w_dim] of people with a neutral face."""
        return self.base + self.described[person] @ self.known + self.own[person]

    def forward(self, person: Tensor, labels: Tensor) -> Tensor:
        return self.identity(person) + labels @ self.directions


def standardized(values: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """(values - mean) / spread, 0 where a value is not known, within 4."""
    return ((values - mean) / spread).nan_to_num(0.0).clamp(-4.0, 4.0)
