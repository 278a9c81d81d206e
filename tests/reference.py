"""The reference vectors of tests/goldens and the weights they were made with."""

import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.networks.stylegan2.resampling import binomial_filter
from models.volumes.planes import Axes, lookup

GOLDENS = Path(__file__).parent / "goldens"
Tensors = dict[str, Tensor]


@cache
def manifest(file: str) -> dict[str, dict[str, Any]]:
    """What was called, by case."""
    return {entry["case"]: entry for entry in json.loads((GOLDENS / f"{file}.json").read_text())}


def golden_cases(file: str) -> list[str]:
    return list(manifest(file))


def golden_case(file: str, case: str) -> tuple[Tensors, Tensors]:
    """Inputs and outputs of one case."""
    entry = manifest(file)[case]
    alias = entry.get("alias", {})
    with np.load(GOLDENS / f"{file}.npz") as arrays:
        inputs = {name: torch.from_numpy(arrays[alias.get(name, f"{case}/in/{name}")]) for name in entry["inputs"]}
        return inputs, {name: torch.from_numpy(arrays[f"{case}/out/{name}"]) for name in entry["outputs"]}


def arrays_of(path: Path) -> Tensors:
    """All numeric arrays of an npz file."""
    with np.load(path) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files if arrays[name].dtype.kind in "fi"}


def load_case_weights(module: nn.Module, inputs: Tensors) -> None:
    """Load the `sd.*` inputs, strictly."""
    module.load_state_dict({name[3:]: value for name, value in inputs.items() if name.startswith("sd.")}, strict=True)


def official_names(network: str, prefix: str) -> dict[str, tuple[int, ...]]:
    """Official parameter names and shapes of G. or D., without the prefix."""
    names = json.loads((GOLDENS / f"names_{network}.json").read_text())
    return {name[2:]: tuple(shape) for name, shape in names.items() if name.startswith(prefix)}


def recipe_state(names: dict[str, tuple[int, ...]]) -> Tensors:
    """The weights the whole-network vectors were made with."""
    return {name: recipe_tensor(name, shape) for name, shape in names.items()}


def recipe_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers seeded by crc32(name), scaled by what the parameter is, rounded to float16."""
    if name.endswith("resample_filter"):
        return binomial_filter()
    random = np.random.RandomState(zlib.crc32(name.encode()))
    x = random.standard_normal(int(np.prod(shape))).astype(np.float32).reshape(shape)
    leaf = name.split(".")[-1]
    if leaf in ("bias", "noise_strength", "w_avg"):
        x = x * np.float32(0.1) + np.float32(name.endswith("affine.bias"))
    elif leaf == "weight" and ".mapping.fc" in "." + name:
        x = x * np.float32(100)
    if name == "decoder.net.2.weight":
        x[0] = (x[0] - x[0].mean()) * np.float32(30)
    if name == "decoder.net.2.bias":
        x[0] = np.float32(12)
    return torch.from_numpy(np.asarray(x, np.float32).astype(np.float16).astype(np.float32).reshape(shape))


def projected(points: Tensor, axes: Axes) -> Tensor:
    """[B,N,3] -> [B,P,N,2 or 3]: the coordinates that each of the P planes reads."""
    return torch.stack([points[..., list(one)] for one in axes], dim=1)


def each_plane(texels: Tensor, points: Tensor, axes: Axes, box_size: float) -> Tensor:
    """[B,P,N,C]: lookups in one plane at a time."""
    return torch.stack([lookup(texels[:, p : p + 1], points, axes[p : p + 1], box_size) for p in range(len(axes))], dim=1)


def largest_difference(ours: Tensor, theirs: Tensor) -> float:
    """Maximum absolute difference; shapes must agree."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    return float((ours.detach().double() - theirs.detach().double()).abs().max())


def compare(ours: Tensors, theirs: Tensors, limit: float) -> None:
    """Every output of a case within `limit`, absolute up to magnitude 1 and relative above."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        assert largest_difference(ours[name].float(), expected.float()) <= limit * max(1.0, float(expected.abs().max())), name
