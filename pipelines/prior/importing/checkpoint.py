"""States that torch.save wrote (.pt, .pth): names and tensors, loaded without running a line of them."""

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.prior.importing.pickles import Refused
from pipelines.prior.importing.snapshot import Module, refused

ZIP = b"PK\x03\x04"
PARALLEL = "module."
"""What names of a state that was saved from several processes begin with."""


def is_checkpoint(path: Path) -> bool:
    """Whether a file is a zip archive, as torch.save writes them."""
    with path.open("rb") as stream:
        return stream.read(len(ZIP)) == ZIP


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A state that says nothing of its module; to importers what a `Snapshot` is."""

    path: Path
    tensors: dict[str, np.ndarray]
    networks: dict[str, Module] = field(default_factory=lambda: {"G_ema": Module("", {"rendering_kwargs": {}})})
    others: list[str] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)

    def state(self, name: str) -> dict[str, np.ndarray]:
        return self.tensors


def read_checkpoint(path: Path) -> Checkpoint:
    """The state in a file of torch.save; UnusableMaterial where it is none, or holds more than names and numbers."""
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, TypeError, AttributeError, OSError) as error:
        raise refused(path, Refused("is a zip archive and no state that torch.save wrote")) from error
    if not isinstance(loaded, dict) or not loaded or not all(_is_entry(*pair) for pair in loaded.items()):
        raise refused(path, Refused("holds no state of a network: names with tensors, and nothing else"))
    if sum(value.numel() * value.element_size() for value in loaded.values()) > 2 * path.stat().st_size:
        raise refused(path, Refused("claims more numbers than the file holds"))
    tensors = {name.removeprefix(PARALLEL): value.contiguous().numpy() for name, value in loaded.items()}
    return Checkpoint(path=path, tensors=tensors)


def _is_entry(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout == torch.strided
