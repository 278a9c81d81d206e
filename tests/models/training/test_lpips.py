"""LPIPS against its formula written out in numpy, and files that are not its own."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.training.lpips import (
    CHANNELS,
    LPIPS,
    SCALE,
    SHIFT,
    TAPS,
    alexnet,
    linear_names,
    lpips,
    unit,
    vgg16,
)


def states(network: str, seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random weights under the names and shapes of the published files, the unused classifier with them."""
    random = torch.Generator().manual_seed(seed)
    shapes = (alexnet if network == "alex" else vgg16)().state_dict()
    trunk = {f"features.{name}": 0.05 * torch.randn(value.shape, generator=random) for name, value in shapes.items()}
    trunk["classifier.6.bias"] = torch.zeros(1000)
    linear = {name: torch.rand(1, width, 1, 1, generator=random) for name, width in zip(linear_names(), CHANNELS[network])}  # type: ignore[index]  # noqa: B905
    return trunk, linear


def test_numbers_of_parameters_are_the_published_ones() -> None:
    counts = [sum(value.numel() for value in network().parameters()) for network in (alexnet, vgg16)]
    assert counts == [2_469_696, 14_714_688]
    assert list(alexnet().state_dict())[::2] == ["0.weight", "3.weight", "6.weight", "8.weight", "10.weight"]
    assert all(isinstance(alexnet()[tap], nn.ReLU) for tap in TAPS["alex"])
    assert all(isinstance(vgg16()[tap], nn.ReLU) for tap in TAPS["vgg"])


def test_unit_length_across_channels() -> None:
    assert unit(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)).flatten().tolist() == pytest.approx([0.6, 0.8])
    assert unit(torch.zeros(1, 2, 1, 1)).abs().max() == 0


def test_the_formula() -> None:
    trunk, linear = states("alex")
    metric = lpips("alex", trunk, linear)
    random = np.random.default_rng(1)
    x, y = (random.uniform(-1, 1, (1, 3, 64, 64)).astype(np.float32) for _ in range(2))
    features = nn.Sequential(*alexnet())
    features.load_state_dict({name.removeprefix("features."): value for name, value in trunk.items() if "features" in name})
    total, shift, scale = 0.0, np.reshape(SHIFT, (1, 3, 1, 1)), np.reshape(SCALE, (1, 3, 1, 1))
    for name, tap in zip(linear_names(), TAPS["alex"], strict=True):
        f, g = (
            features[: tap + 1](torch.from_numpy(((image - shift) / scale).astype(np.float32))).detach().numpy()[0]
            for image in (x, y)
        )
        f, g = (value / np.sqrt((value**2).sum(0) + 1e-20) for value in (f, g))
        total += float((linear[name].numpy().reshape(-1, 1, 1) * (f - g) ** 2).sum(0).mean())
    assert float(metric(torch.from_numpy(x), torch.from_numpy(y))) == pytest.approx(total, rel=1e-4)
    assert float(metric(torch.from_numpy(x), torch.from_numpy(x))) == 0.0


def test_a_batch_is_its_pictures_and_order_does_not_matter() -> None:
    metric: LPIPS = lpips("alex", *states("alex"))
    x, y = torch.rand(2, 3, 48, 48) * 2 - 1, torch.rand(2, 3, 48, 48) * 2 - 1
    both = metric(x, y)
    assert both.tolist() == pytest.approx([float(metric(x[i : i + 1], y[i : i + 1])) for i in range(2)], rel=1e-4)
    assert both.tolist() == pytest.approx(metric(y, x).tolist())


@pytest.mark.slow
def test_vgg_runs() -> None:
    metric = lpips("vgg", *states("vgg"))
    assert float(metric(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32))) > 0


def test_other_files_are_refused() -> None:
    trunk, linear = states("alex")
    with pytest.raises(RuntimeError, match="10.bias"):
        lpips("alex", {name: value for name, value in trunk.items() if name != "features.10.bias"}, linear)
    with pytest.raises(ValueError, match="lin1"):
        lpips("alex", trunk, {**linear, "lin1.model.1.weight": torch.zeros(1, 3, 1, 1)})
    with pytest.raises(ValueError, match="at least 0"):
        lpips("alex", trunk, {**linear, "lin0.model.1.weight": -linear["lin0.model.1.weight"]})
    with pytest.raises(KeyError):
        lpips("alex", trunk, {})
