"""Heads that tell the pose of neck and head: what both networks of 3DPortraitGAN predict (section 3.4; spec 5).

Notable choice: the symmetry is explicit. Whoever is seen from the left of the person is mirrored, camera and all, and the pose
mirrored back; so a pose head knows one half of the cameras only. A camera straight ahead (x = 0) counts as on the left.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.camera import Camera
from models.heads.skinned_body import POSE, mirrored
from models.networks.stylegan2.layers import FullyConnected

X = 3
"""Where a label has its camera's x."""


class PoseHead(nn.Module):
    """Numbers [B,inputs] -> neck and head rotation [B,6], radians, by fully connected layers with leaky ReLU between."""

    def __init__(self, inputs: int, hidden: tuple[int, ...]):
        super().__init__()
        widths = (inputs, *hidden, POSE)
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        layers = [FullyConnected(*pair, activation="lrelu") for pair in pairs[:-1]]
        self.net = nn.Sequential(*layers, FullyConnected(*pairs[-1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def on_left(label: Tensor) -> Tensor:
    """[B] whether the cameras of labels [B,25] stand at the person's left, or straight ahead."""
    return label[:, X] >= 0


def mirrored_label(label: Tensor) -> Tensor:
    """Labels [B,25] of the cameras that see the mirrored person."""
    return Camera.from_label(label).mirrored().label()


def symmetric(predict: Callable[[Tensor], Tensor], label: Tensor) -> Tensor:
    """The pose [B,6] that `predict` gives labels [B,25] of the right half, mirrored for cameras of the left one."""
    left = on_left(label)[:, None]
    pose = predict(torch.where(left, mirrored_label(label), label))
    return torch.where(left, mirrored(pose), pose)
