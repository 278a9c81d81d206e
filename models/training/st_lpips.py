"""ST-LPIPS: LPIPS that a shift of a pixel hardly moves (Ghildyal & Liu, ECCV 2022, arXiv 2207.13686).

The distance is LPIPS's (`models.training.lpips`); the classifier under it is AlexNet whose first convolution has no stride,
whose strides blur before they skip, mirroring two pixels over the rim, and which was taught anew with its linear layers. Its
numbers are not LPIPS's: 0.13 where a picture was blurred with sigma 1, 0.05 for another expression, 0.6 for another person.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.lpips import CHANNELS, LPIPS, linear_weights

TAPS = (2, 6, 10, 12, 14)
SLICES = {0: 1, 5: 2, 9: 3, 11: 4, 13: 5}
"""In which of the file's slices each convolution lies."""


class BlurredHalf(nn.Module):
    """Every second pixel of features [B,C,H,W] after a blur by (1, 2, 1) / 4 down and across."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("kernel", torch.outer(line, line).repeat(channels, 1, 1, 1), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        wide = functional.pad(features, (2, 2, 2, 2), mode="reflect")
        return functional.conv2d(wide, self.kernel, stride=2, groups=features.shape[1])


def st_lpips(state: Mapping[str, Tensor]) -> LPIPS:
    """The metric from the authors' file `alex_shift_tolerant.pth`; KeyError, ValueError or RuntimeError when it is another."""
    features = shift_tolerant_alexnet()
    own = {
        f"{number}.{part}": state[f"net.slice{place}.{number}.{part}"]
        for number, place in SLICES.items() for part in ("weight", "bias")
    }  # fmt: skip
    features.load_state_dict(own, strict=True)
    return LPIPS(features=features, taps=TAPS, weights=linear_weights("alex", state)).eval().requires_grad_(False)


def shift_tolerant_alexnet() -> nn.Sequential:
    """The layers up to the last activation, numbered as the authors' are."""
    a, b, c, d, e = CHANNELS["alex"]
    return nn.Sequential(
        nn.Conv2d(3, a, 11, padding=2), BlurredHalf(a), nn.ReLU(), nn.MaxPool2d(3, stride=1), BlurredHalf(a),
        nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=1), BlurredHalf(b),
        nn.Conv2d(b, c, 3, padding=1), nn.ReLU(),
        nn.Conv2d(c, d, 3, padding=1), nn.ReLU(),
        nn.Conv2d(d, e, 3, padding=1), nn.ReLU(),
    )  # fmt: skip
