"""Expression -> latent: the mapping network of GAN-Avatar (section 3.2), trained after the appearance model is frozen.

Notable choices: the input is standardized by the person's own mean and spread; hidden layers as in the paper (two, linear and
leaky ReLU); the output are coordinates along the principal directions of the person's latents, softly limited to
`REACH` standard deviations; one w is repeated for every layer.
"""

import torch
from torch import Tensor, nn

from models.generator import Control, LatentSpec

REACH = 2.5
"""Standard deviations along a principal direction that the map approaches and never passes."""


class ExpressionMap(nn.Module):
    """e [B,E] raw scores -> ws [B,num_ws,w_dim].

    w = mean_w + r tanh(c/r) B with c = W2 lrelu(W1 lrelu(W0 (e - mean)/std)) and r = REACH.
    """

    mean: Tensor
    std: Tensor
    mean_w: Tensor
    basis: Tensor
    """[K,w_dim] principal directions, each as long as one standard deviation."""

    def __init__(self, *, mean: Tensor, std: Tensor, mean_w: Tensor, basis: Tensor, hidden: int, latent: LatentSpec):
        super().__init__()
        self.num_ws = latent.num_ws
        for name, value in (("mean", mean), ("std", std), ("mean_w", mean_w), ("basis", basis)):
            self.register_buffer(name, value)
        self.net = nn.Sequential(
            nn.Linear(len(mean), hidden), nn.LeakyReLU(0.2), nn.Linear(hidden, hidden), nn.LeakyReLU(0.2),
            nn.Linear(hidden, len(basis)),
        )  # fmt: skip

    @classmethod
    def from_state(cls, state: dict[str, Tensor], latent: LatentSpec) -> "ExpressionMap":
        """The network whose state this is; every size is read from the tensors."""
        given = {name: state[name] for name in ("mean", "std", "mean_w", "basis")}
        module = cls(**given, hidden=state["net.0.weight"].shape[0], latent=latent)
        module.load_state_dict(state, strict=True)
        return module

    def w(self, expression: Tensor) -> Tensor:
        """[B,E] -> [B,w_dim]; beyond three standard deviations the input counts as three: nothing was learned there."""
        coordinates = self.net(((expression - self.mean) / self.std).clamp(-3.0, 3.0))
        return self.mean_w + (REACH * torch.tanh(coordinates / REACH)) @ self.basis

    def forward(self, expression: Tensor) -> Tensor:
        return broadcast(self.w(expression), self.num_ws)

    def control(self, expression: Tensor, head_pose: Tensor | None = None) -> Control:
        """Latents alone: the map is blind to the head's pose, so that no expression follows the view."""
        return Control(ws=self(expression))


def broadcast(w: Tensor, num_ws: int) -> Tensor:
    """[B,w_dim] -> [B,num_ws,w_dim]"""
    return w[:, None].expand(-1, num_ws, -1)


def standardization(expression: Tensor, floor: float = 0.05) -> tuple[Tensor, Tensor]:
    """Mean and spread [E] of expressions [P,E]; a channel that never moves gets the floor instead of a division by zero."""
    return expression.mean(0), torch.clamp(expression.std(0), min=floor)


def principal_directions(w: Tensor, most: int) -> Tensor:
    """[K,w_dim] of latents [P,w_dim], K <= most, each scaled to one standard deviation of the latents along it."""
    _, scale, directions = torch.linalg.svd(w - w.mean(0), full_matrices=False)
    kept = min(most, len(scale), int((scale > 1e-6 * scale[0]).sum()))
    return directions[:kept] * (scale[:kept] / max(len(w) - 1, 1) ** 0.5)[:, None]
