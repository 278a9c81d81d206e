"""ST-LPIPS: its blurred strides, and files that are not its own."""

import pytest
import torch
from torch import Tensor

from models.training.lpips import CHANNELS, linear_names
from models.training.st_lpips import SLICES, BlurredHalf, shift_tolerant_alexnet, st_lpips


def state() -> dict[str, Tensor]:
    """Random weights under the names and shapes of the published file."""
    random = torch.Generator().manual_seed(0)
    found = {}
    for name, value in shift_tolerant_alexnet().state_dict().items():
        found[f"net.slice{SLICES[int(name.split('.')[0])]}.{name}"] = 0.05 * torch.randn(value.shape, generator=random)
    return found | {name: torch.rand(1, width, 1, 1, generator=random)
                    for name, width in zip(linear_names(), CHANNELS["alex"], strict=True)}  # fmt: skip


def test_half_as_many_pixels_blurred_and_mirrored() -> None:
    """0 to 7 with two mirrored at each end (2, 1, 0 ... 7, 6, 5): (2, 1, 0), (0, 1, 2), (2, 3, 4), (4, 5, 6), (6, 7, 6)."""
    line = torch.arange(8.0).expand(1, 1, 8, 8)
    found = BlurredHalf(1)(line)[0, 0]
    assert found.shape == (5, 5) and found[2].tolist() == [1.0, 1.0, 3.0, 5.0, 6.5]


def test_a_shift_of_a_pixel_weighs_less_than_another_picture() -> None:
    metric, picture = st_lpips(state()), torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    smooth = torch.nn.functional.avg_pool2d(picture, 5, stride=1, padding=2)
    assert float(metric(smooth, smooth)) == 0
    assert 0 < float(metric(smooth, smooth.roll(1, 3))) < float(metric(smooth, smooth.flip(3)))


def test_another_file_is_refused() -> None:
    known = state()
    with pytest.raises(KeyError):
        st_lpips({name: value for name, value in known.items() if name != "net.slice3.9.bias"})
    with pytest.raises(RuntimeError):
        st_lpips(known | {"net.slice1.0.weight": torch.zeros(64, 3, 3, 3)})
    with pytest.raises(ValueError, match="lin0"):
        st_lpips(known | {"lin0.model.1.weight": -known["lin0.model.1.weight"]})
