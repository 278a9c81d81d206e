"""Checkpoints as one safetensors file: a nested dict of tensors and a step number, written whole or not at all."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import write_bytes

Tree = dict[str, Any]
"""Nested dict whose leaves are tensors."""


def save_checkpoint(path: Path, step: int, tree: Tree) -> None:
    flat = {name: tensor.detach().contiguous().clone() for name, tensor in flatten(tree).items()}
    write_bytes(path, save(flat, metadata={"step": str(step)}))


def load_checkpoint(path: Path, device: str = "cpu") -> tuple[int, Tree]:
    """The step after which it was saved, and the tree; UnusableMaterial when the file is broken."""
    try:
        with safe_open(path, framework="pt", device=device) as archive:
            step = int(archive.metadata()["step"])
            return step, unflatten({name: archive.get_tensor(name) for name in list(archive.keys())})
    except (OSError, SafetensorError, KeyError, TypeError) as error:
        raise UnusableMaterial(
            f"the checkpoint {path} cannot be read ({error}); delete it to start this step again."
        ) from error


def step_of(path: Path) -> int:
    """The step of a checkpoint, 0 where there is none."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as archive:
        return int(archive.metadata()["step"])


def optimizer_tree(optimizer: torch.optim.Optimizer) -> Tree:
    """Adam's moments and step counts by parameter number; learning rates follow from the step and are not stored."""
    return {str(number): dict(values) for number, values in optimizer.state_dict()["state"].items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tree: Tree) -> None:
    groups, state = optimizer.state_dict()["param_groups"], {}
    for number, values in tree.items():  # Adam counts steps on the CPU, and reading them back from a GPU would stall every step
        state[int(number)] = {name: value.cpu() if name == "step" else value for name, value in values.items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def flatten(tree: Tree, prefix: str = "") -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}
    for name, value in tree.items():
        flat.update(flatten(value, f"{prefix}{name}/") if isinstance(value, dict) else {prefix + name: value})
    return flat


def unflatten(flat: dict[str, Tensor]) -> Tree:
    tree: Tree = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree
