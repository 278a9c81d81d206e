"""The package's bytes, in its order, become the file's."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.recognition.convert import NAME, convert, read_package
from models.recognition.resnet import unpacked


def write_package(folder: Path, extra: bytes = b"") -> dict[str, np.ndarray]:
    """One convolution of 2 channels to 3, as bytes but for its bias, and the last layer."""
    random = np.random.default_rng(0)
    shapes = {"conv32_down/conv/filters": (3, 3, 2, 3), "conv32_down/conv/bias": (3,), "conv32_down/scale/weights": (3,),
              "conv32_down/scale/biases": (3,), "fc": (4, 5)}  # fmt: skip
    entries, content, values = [], b"", {}
    for name, shape in shapes.items():
        if name.endswith("conv/bias"):
            values[name] = random.normal(size=shape).astype("<f4")
            entries.append({"name": name, "shape": shape, "dtype": "float32"})
            content += values[name].tobytes()
        else:
            rounded = random.integers(0, 256, shape, np.uint8)
            values[name] = rounded * np.float32(0.01) - np.float32(0.5)
            entries.append({"name": name, "shape": shape, "quantization": {"dtype": "uint8", "scale": 0.01, "min": -0.5}})
            content += rounded.tobytes()
    (folder / f"{NAME}-weights_manifest.json").write_text(json.dumps([{"weights": entries}]))
    (folder / f"{NAME}.bin").write_bytes(content + extra)
    return values


def test_a_convolution_with_its_scale_becomes_one(tmp_path: Path) -> None:
    values = write_package(tmp_path)
    found = unpacked(convert(read_package(tmp_path)))
    x = np.random.default_rng(1).normal(size=(1, 2, 3, 3)).astype(np.float32)
    filters = values["conv32_down/conv/filters"].transpose(3, 2, 0, 1)
    wanted = (x * filters).sum((1, 2, 3)) + values["conv32_down/conv/bias"]
    wanted = wanted * values["conv32_down/scale/weights"] + values["conv32_down/scale/biases"]
    seen = torch.nn.functional.conv2d(torch.from_numpy(x), found["conv32_down.weight"], found["conv32_down.bias"])
    assert seen.flatten().numpy() == pytest.approx(wanted, abs=1e-5)
    assert found["fc.weight"].numpy() == pytest.approx(values["fc"].T, abs=1e-6)


def test_bytes_that_the_manifest_does_not_name_are_said(tmp_path: Path) -> None:
    write_package(tmp_path, extra=b"more")
    with pytest.raises(ValueError, match="its manifest names"):
        read_package(tmp_path)
