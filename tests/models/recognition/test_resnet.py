"""The face recognizer against numbers of the package it came from, and what its blocks do."""

import hashlib
import re

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from models.recognition.resnet import BLOCKS, WEIGHTS, FaceRecognizer, Residual, face_recognizer, unpacked


def ramps() -> torch.Tensor:
    """[1,3,150,150]: red to the right, green down, blue along the diagonal, over again after 256."""
    down, across = np.mgrid[0:150, 0:150]
    picture = np.stack([across * 255 // 149, down * 255 // 149, (across + down) % 256])
    return torch.from_numpy(picture)[None].float()


def test_the_numbers_are_those_of_the_package() -> None:
    """Computed by @vladmandic/face-api 1.7.15 with tfjs on a CPU."""
    found = face_recognizer()(ramps())[0]
    assert found[:8].numpy() == pytest.approx(PUBLISHED, abs=2e-5)
    assert float(found.norm()) == pytest.approx(LENGTH, abs=2e-5) and float(found.sum()) == pytest.approx(SUM, abs=2e-4)


PUBLISHED = [-0.05116, 0.12726, 0.06078, 0.00951, -0.04614, -0.03524, -0.07785, -0.00125]
LENGTH, SUM = 1.31179, -0.16804


def test_the_file_is_the_one_whose_origin_is_told() -> None:
    told = (WEIGHTS.parent / "README.md").read_text()
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() in re.findall(r"[0-9a-f]{64}", told)
    assert WEIGHTS.stat().st_size < 7_000_000


def test_a_plain_block_adds_its_input() -> None:
    block = Residual(4, 4, False)
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.constant_(block.conv2.bias, -0.5)  # type: ignore[arg-type]
    x = torch.randn(2, 4, 7, 7)
    assert torch.equal(block(x), functional.relu(x - 0.5))


@pytest.mark.parametrize(("side", "half"), [(17, 8), (8, 4), (4, 2)])
def test_a_halving_block_means_and_pads(side: int, half: int) -> None:
    """Of 8 pixels the convolution leaves 3: the fourth is the mean alone; channels that are new are the convolution's alone."""
    block = Residual(2, 4, True)
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.constant_(block.conv2.bias, 1.0)  # type: ignore[arg-type]
    x = torch.rand(1, 2, side, side)
    found, mean = block(x), functional.avg_pool2d(x, 2)
    inside = (side - 3) // 2 + 1
    assert found.shape == (1, 4, half, half)
    assert torch.allclose(found[:, :2, :inside, :inside], mean[:, :, :inside, :inside] + 1)
    assert torch.equal(found[:, :2, inside:], mean[:, :, inside:]) and (found[:, 2:, :inside, :inside] == 1).all()


def test_bytes_become_steps_from_the_least() -> None:
    packed = {
        "a.weight": torch.tensor([[[[0, 255]]], [[[1, 2]]]], dtype=torch.uint8), "a.step": torch.tensor(0.5),
        "a.least": torch.tensor(-1.0), "a.gain": torch.tensor([1.0, 10.0]), "a.bias": torch.tensor([3.0, 4.0]),
    }  # fmt: skip
    found = unpacked(packed)
    assert found["a.weight"].flatten().tolist() == [-1.0, 126.5, -5.0, 0.0] and found["a.bias"].tolist() == [3.0, 4.0]


def test_weights_of_another_network_are_refused() -> None:
    states = unpacked(load_file(WEIGHTS))
    assert len(BLOCKS) == 14 and set(states) == set(FaceRecognizer().state_dict())
    del states["fc.weight"]
    with pytest.raises(RuntimeError, match="fc.weight"):
        FaceRecognizer().load_state_dict(states)
