"""Latents of the auto-decoder: w of a person in a state is linear in what is known of both, plus what is the person's own.

w = base + [(description - mean) / spread A + own[person], labels / spread B]. The first dimensions say who, the last `FACE`
what face; the rows of B / spread are the expression directions that ship with the prior. Linear and apart: a direction
does the same to everybody, and a person's frames differ in few dimensions.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FACE = 32
"""Dimensions of w for expression, gaze and posture."""


class Codes(nn.Module):
    """People [L] and labels [L,E] -> w [L,w_dim]."""

    described: Tensor
    """[people,D] standardized."""
    spread: Tensor
    """[E] of the labels: a jaw is rarely open, and has to move w as far as what is common."""

    def __init__(self, *, described: Tensor, spread: Tensor, w_dim: int):
        super().__init__()
        who, self.face = w_dim - min(FACE, w_dim // 4), min(FACE, w_dim // 4)
        self.register_buffer("described", described)
        self.register_buffer("spread", spread)
        self.base = nn.Parameter(torch.zeros(w_dim))
        self.known = nn.Parameter(0.5 * described.shape[1] ** -0.5 * torch.randn(described.shape[1], who))
        self.own = nn.Parameter(torch.zeros(len(described), who))
        self.labels = nn.Parameter(0.12 * torch.randn(len(spread), self.face))

    @property
    def directions(self) -> Tensor:
        """[E,w_dim] what a label does to w."""
        return F.pad(self.labels / self.spread[:, None], (self.own.shape[1], 0))

    def identity(self, person: Tensor) -> Tensor:
        """w [L,w_dim] of people with a neutral face."""
        return self.base + F.pad(self.described[person] @ self.known + self.own[person], (0, self.face))

    def forward(self, person: Tensor, labels: Tensor) -> Tensor:
        return self.identity(person) + labels @ self.directions


def standardized(values: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
    """(values - mean) / spread, 0 where a value is not known, within 4."""
    return ((values - mean) / spread).nan_to_num(0.0).clamp(-4.0, 4.0)
