"""The avatar folder: a personal generator with its expression map, and the record of what it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, read_json

if TYPE_CHECKING:
    from models.camera import Camera
    from models.generator import Generator
    from models.heads.expression_map import ExpressionMap

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Avatar:
    """A personal generator with its expression map, ready to drive."""

    folder: Path
    generator: "Generator"
    expression_map: "ExpressionMap"
    """Raw expression [B,E] of `space` -> ws [B,num_ws,w_dim]."""
    space: str
    names: tuple[str, ...]
    neutral: np.ndarray
    low: np.ndarray
    high: np.ndarray
    """[E] the range found in the person's own frontal renders."""
    frontal: "Camera"
    image_size: int
    prior_landmarks: np.ndarray
    record: dict[str, Any]


def load_avatar(folder: Path, device: str = "cpu") -> Avatar:
    """The avatar of a folder, in eval mode on `device`; UnusableMaterial when it is missing, broken or of another schema."""
    import torch

    from models.camera import Camera
    from models.eg3d.config import EG3DConfig
    from models.eg3d.generator import EG3D
    from models.heads.expression_map import ExpressionMap

    again, record = _made_by(folder), avatar_record(folder)
    weights = {name: _tensors(folder / f"{name}.safetensors", again) for name in ("generator", "expression_map")}
    landmarks = read_arrays(folder / "landmarks.npz")
    try:
        generator = EG3D(EG3DConfig(**record["config"]))
        generator.load_state_dict(weights["generator"], strict=True)
        mapping = ExpressionMap.from_state(weights["expression_map"], generator.latent)
        space = record["expression"]
        return Avatar(
            folder=folder, generator=generator.eval().to(device), expression_map=mapping.eval().to(device),
            space=space["space"], names=tuple(space["names"]), neutral=np.array(space["neutral"], np.float32),
            low=np.array(space["low"], np.float32), high=np.array(space["high"], np.float32),
            frontal=Camera.from_label(torch.tensor([record["frontal_camera"]])).to(device), image_size=record["image_size"],
            prior_landmarks=np.array(landmarks["landmarks"]), record=record,
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        said = str(error).splitlines()[0] if isinstance(error, RuntimeError) else repr(error)
        raise UnusableMaterial(
            f"the parts of the avatar {folder} do not belong together ({said}); copy it again, or make it with `{again}`."
        ) from error


def avatar_record(folder: Path) -> dict[str, Any]:
    """The record of an avatar folder; UnusableMaterial when it is missing, broken or of another schema."""
    path = folder / "avatar.json"
    record = read_json(path, _made_by(folder))
    if record.get("schema") != SCHEMA:
        raise UnusableMaterial(f"{path} has schema {record.get('schema')}, this version reads {SCHEMA}.")
    missing = [name for name in ("config", "image_size", "frontal_camera", "expression") if name not in record]
    if missing:
        raise UnusableMaterial(f"{path} has no {missing[0]}; copy the avatar again, or make it with `{_made_by(folder)}`.")
    return record


def _made_by(folder: Path) -> str:
    return f"avatarcli train CAPTURE -o {folder.name}"


def _tensors(path: Path, made_by: str) -> dict[str, Any]:
    """The tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UnusableMaterial(f"{path} is missing. Make it with `{made_by}`.") from error
    except (OSError, SafetensorError) as error:
        raise UnusableMaterial(f"{path} is broken ({error}); copy it again, or make it with `{made_by}`.") from error
