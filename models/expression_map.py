"""Expression -> latent: the mapping network of GAN-Avatar (section 3.2), trained after the appearance model is frozen.

Notable choices: the input is standardized by the person's own mean and spread; the output is one w, repeated for every layer;
hidden layers as in the paper (two, linear + leaky ReLU), the output a person's mean w plus a learned linear step.
"""

import torch
from torch import Tensor, nn

from models.generator import LatentSpec


class ExpressionMap(nn.Module):
    """e [B,E] raw scores -> ws [B,num_ws,w_dim]: w = mean_w + W2 lrelu(W1 lrelu(W0 (e - mean)/std))."""

    mean: Tensor
    std: Tensor
    mean_w: Tensor

    def __init__(self, *, mean: Tensor, std: Tensor, mean_w: Tensor, hidden: int, latent: LatentSpec):
        super().__init__()
        self.num_ws = latent.num_ws
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.register_buffer("mean_w", mean_w)
        self.net = nn.Sequential(
            nn.Linear(len(mean), hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2),
            nn.Linear(hidden, latent.w_dim),
        )  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Tensor], latent: LatentSpec) -> "ExpressionMap":
        """The network whose state this is; every size is read from the tensors."""
        hidden = state["net.0.weight"].shape[0]
        module = cls(mean=state["mean"], std=state["std"], mean_w=state["mean_w"], hidden=hidden, latent=latent)
        module.load_state_dict(state, strict=True)
        return module

    def w(self, expression: Tensor) -> Tensor:
        """[B,E] -> [B,w_dim]; beyond three standard deviations the input counts as three: nothing was learned there."""
        return self.mean_w + self.net(((expression - self.mean) / self.std).clamp(-3.0, 3.0))

    def forward(self, expression: Tensor) -> Tensor:
        return self.w(expression)[:, None].expand(-1, self.num_ws, -1)


def broadcast(w: Tensor, num_ws: int) -> Tensor:
    """[B,w_dim] -> [B,num_ws,w_dim]"""
    return w[:, None].expand(-1, num_ws, -1)


def standardization(expression: Tensor, floor: float = 0.05) -> tuple[Tensor, Tensor]:
    """Mean and spread [E] of expressions [P,E]; a channel that never moves gets the floor instead of a division by zero."""
    return expression.mean(0), torch.clamp(expression.std(0), min=floor)
