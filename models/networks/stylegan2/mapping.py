"""Mapping network z, camera -> w (StyleGAN2; EG3D section 4.2 on conditioning; spec 1.3).

Notable choices:
- one module serves the generator (z and label, w repeated num_ws times, running mean w) and the discriminator (label only);
- nothing is updated inside forward: training calls `track` in the discriminator's step, so results do not depend on call order;
- a zero label is not "no label": it becomes norm(embed bias), a learned constant once the bias is trained.
"""

import torch
from torch import Tensor, nn

from models.networks.stylegan2.layers import FullyConnected, normalize_second_moment


class Mapping(nn.Module):
    """fc_n(... fc_0(concat(norm z, norm embed(label)))), leaky ReLU except, where asked, the last layer."""

    w_avg: Tensor

    def __init__(
        self, *, z_dim: int, label_dim: int, w_dim: int, layers: int, num_ws: int | None = None,
        embed: int | None = None, hidden: int | None = None, lr_multiplier: float = 0.01, last_activation: str = "lrelu",
        normalize_z: bool = True,
    ):  # fmt: skip
        super().__init__()
        embed, hidden = embed or w_dim, hidden or w_dim
        self.z_dim, self.num_ws, self.layers, self.normalize_z = z_dim, num_ws, layers, normalize_z
        self.embed = FullyConnected(label_dim, embed)
        widths = [z_dim + embed] + [hidden] * (layers - 1) + [w_dim]
        for number, (inputs, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            activation = last_activation if number == layers - 1 else "lrelu"
            layer = FullyConnected(inputs, outputs, activation=activation, lr_multiplier=lr_multiplier)
            self.add_module(f"fc{number}", layer)
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def w(self, z: Tensor | None, label: Tensor) -> Tensor:
        """z [B,z_dim] (None when z_dim is 0), label [B,label_dim] -> w [B,w_dim]."""
        x = normalize_second_moment(self.embed(label.float()))
        if z is not None and self.z_dim:
            z = normalize_second_moment(z.float()) if self.normalize_z else z.float()
            x = torch.cat([z, x], dim=1)
        for number in range(self.layers):
            x = self.get_submodule(f"fc{number}")(x)
        return x

    def forward(self, z: Tensor | None, label: Tensor, truncation: float = 1.0, cutoff: int | None = None) -> Tensor:
        """ws [B,num_ws,w_dim] (or w [B,w_dim] without num_ws); the first `cutoff` ws become w_avg + truncation (w - w_avg)."""
        w = self.w(z, label)
        if self.num_ws is None:
            return w
        ws = w[:, None].expand(-1, self.num_ws, -1)
        if truncation == 1:
            return ws
        short = self.w_avg.lerp(ws, truncation)
        return short if cutoff is None else torch.cat([short[:, :cutoff], ws[:, cutoff:]], dim=1)

    @torch.no_grad()
    def track(self, w: Tensor, decay: float = 0.998) -> None:
        """w_avg <- decay * w_avg + (1 - decay) * mean over the batch of w [B,w_dim]."""
        self.w_avg.copy_(w.detach().mean(0).lerp(self.w_avg, decay))


def seen_label(z: Tensor, condition: Tensor | None, *, dim: int, blind: bool, scale: float) -> Tensor:
    """[B,dim] what a generator's mapping sees of a camera label `condition` [B,dim]: zeros if it is blind, else scale * it.

    ValueError when it is not blind and there is no label.
    """
    if blind:
        return z.new_zeros(len(z), dim)
    if condition is None:
        raise ValueError("this generator is conditioned on a camera: pass the label of the frontal one")
    return condition * scale
