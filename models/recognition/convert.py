"""Makes `dlib_resnet.safetensors` of the package @vladmandic/face-api (npm, 1.7.15), whose folder `model` holds the network.

    npm pack @vladmandic/face-api@1.7.15 && tar xzf vladmandic-face-api-1.7.15.tgz
    python -m models.recognition.convert package/model models/recognition/dlib_resnet.safetensors

The package stores every tensor as bytes, value = byte * scale + min, convolutions as [height,width,in,out]. Bytes stay bytes;
the few numbers a channel are made floats: (x + bias) * gain + shift = x * gain + (bias * gain + shift).
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

NAME = "face_recognition_model"


@dataclass(frozen=True)
class Quantized:
    """A tensor of the package: values are bytes * step + least; floats have step 1 and least 0."""

    values: np.ndarray
    step: float
    least: float

    def floats(self) -> np.ndarray:
        return self.values.astype(np.float32) * np.float32(self.step) + np.float32(self.least)


def read_package(folder: Path) -> dict[str, Quantized]:
    """The tensors of a package's folder `model`, by name."""
    manifest = json.loads((folder / f"{NAME}-weights_manifest.json").read_text())
    content, place, found = (folder / f"{NAME}.bin").read_bytes(), 0, {}
    for entry in manifest[0]["weights"]:
        packed = entry.get("quantization")
        kind = np.uint8 if packed else np.dtype("<f4")
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(content, kind, count, place).reshape(entry["shape"])
        place += values.nbytes
        found[entry["name"]] = Quantized(values, packed["scale"] if packed else 1.0, packed["min"] if packed else 0.0)
    if place != len(content):
        raise ValueError(f"{folder} holds {len(content)} bytes of weights, its manifest names {place}")
    return found


def convert(tensors: Mapping[str, Quantized]) -> dict[str, Tensor]:
    """What `models.recognition.resnet.unpacked` reads."""
    found = dict(_packed("fc", tensors["fc"], (1, 0)))
    for name in tensors:
        if name.endswith("/conv/filters"):
            source = name.removesuffix("/conv/filters")
            layer = source if source == "conv32_down" else f"blocks.{source.replace('/', '.')}"
            found |= dict(_packed(layer, tensors[name], (3, 2, 0, 1)))
            gain, shift, bias = (
                tensors[f"{source}/{part}"].floats() for part in ("scale/weights", "scale/biases", "conv/bias")
            )
            found[f"{layer}.gain"], found[f"{layer}.bias"] = torch.from_numpy(gain), torch.from_numpy(bias * gain + shift)
    return found


def _packed(layer: str, tensor: Quantized, axes: tuple[int, ...]) -> Iterator[tuple[str, Tensor]]:
    yield f"{layer}.weight", torch.from_numpy(np.ascontiguousarray(tensor.values.transpose(axes)))
    yield f"{layer}.step", torch.tensor(tensor.step)
    yield f"{layer}.least", torch.tensor(tensor.least)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    save_file(convert(read_package(given.package)), given.out)


if __name__ == "__main__":
    main()
