"""A face recognizer: 150x150 pictures of faces become points in 128 dimensions, near to each other for one person.

The residual network of 29 layers that D. King published with dlib (2017); he takes distances below 0.6 for one person.

Notable choices:
- Weights are those of the file `dlib_resnet.safetensors` beside this module (see README.md there): convolutions as bytes with a
  step and a least value each, as their publisher rounded them. They lose nothing more here.
- A convolution's scale and shift are folded into its weights and bias.
- Where halving leaves the convolutions a pixel less than the mean over 2x2, zeros are added at the end, as in dlib.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHTS = Path(__file__).with_name("dlib_resnet.safetensors")
SIDE, FEATURES = 150, 128
MEAN_RGB = (122.782, 117.001, 104.298)
BLOCKS: tuple[tuple[str, int, int, bool], ...] = (
    *((f"conv32_{number}", 32, 32, False) for number in (1, 2, 3)),
    ("conv64_down", 32, 64, True), *((f"conv64_{number}", 64, 64, False) for number in (1, 2, 3)),
    ("conv128_down", 64, 128, True), *((f"conv128_{number}", 128, 128, False) for number in (1, 2)),
    ("conv256_down", 128, 256, True), *((f"conv256_{number}", 256, 256, False) for number in (1, 2)),
    ("conv256_down_out", 256, 256, True),
)  # fmt: skip
"""Name, channels before and after, and whether the block halves the picture."""


class Residual(nn.Module):
    """relu(shortcut(x) + conv2(relu(conv1(x)))), [B,C,H,W] -> [B,C',H,W] or [B,C',H//2,W//2]."""

    def __init__(self, before: int, after: int, halves: bool) -> None:
        super().__init__()
        self.halves = halves
        self.conv1 = nn.Conv2d(before, after, 3, stride=2 if halves else 1, padding=0 if halves else 1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(functional.relu(self.conv1(x)))
        if self.halves:
            x = functional.avg_pool2d(x, 2)
            x = functional.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
            y = functional.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        return functional.relu(x + y)


class FaceRecognizer(nn.Module):
    """RGB pictures [B,3,150,150] of 0..255, aligned -> [B,128]."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv32_down = nn.Conv2d(3, 32, 7, stride=2)
        self.blocks = nn.ModuleDict({name: Residual(before, after, halves) for name, before, after, halves in BLOCKS})
        self.fc = nn.Linear(256, FEATURES, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN_RGB)[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        value = functional.relu(self.conv32_down((pictures - self.mean) / 255))
        value = functional.max_pool2d(value, 3, stride=2)
        for block in self.blocks.values():
            value = block(value)
        return self.fc(value.mean((2, 3)))


def face_recognizer(weights: Path = WEIGHTS) -> FaceRecognizer:
    """The network with the weights of a file; RuntimeError or KeyError when they are another network's."""
    from safetensors.torch import load_file

    network = FaceRecognizer()
    network.load_state_dict(unpacked(load_file(weights)), strict=True)
    return network.eval().requires_grad_(False)


def unpacked(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Floats of bytes: `a.weight` uint8 times `a.step` plus `a.least`; every other tensor stays."""
    layers = [name.removesuffix(".step") for name in packed if name.endswith(".step")]
    floats = {
        f"{name}.weight": packed[f"{name}.weight"].float() * packed[f"{name}.step"] + packed[f"{name}.least"] for name in layers
    }
    gains = {f"{name}.weight": packed[f"{name}.gain"][:, None, None, None] for name in layers if f"{name}.gain" in packed}
    biases = {name: value for name, value in packed.items() if name.endswith(".bias")}
    return {name: value * gains.get(name, 1.0) for name, value in floats.items()} | biases
