"""The avatar folder, opened: a personal generator with its expression map, ready to be shown."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.head_frame import HeadFrame
from pipelines.artifacts.avatar_record import NAME, AvatarRecord, insist_whole, load_avatar_record, made_by
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays
from pipelines.face.canonical import canonical_landmarks
from pipelines.geometry.rigid import similarity

if TYPE_CHECKING:
    from models.camera import Camera
    from models.generator import Generator
    from models.heads.expression_map import ExpressionMap


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
    record: AvatarRecord

    @property
    def frame(self) -> HeadFrame:
        """Its head space, in which a capture is cut for it."""
        return head_frame_of(self.folder, self.record)


def load_avatar(folder: Path, device: str = "cpu") -> Avatar:
    """The avatar of a folder, in eval mode on `device`; UnusableMaterial when it is missing, broken or of another schema."""
    import torch

    from models.camera import Camera
    from models.heads.expression_map import ExpressionMap

    record, again = load_avatar_record(folder), made_by(folder)
    insist_whole(folder, record)
    weights = {name: _tensors(folder / f"{name}.safetensors", again) for name in ("generator", "expression_map")}
    landmarks = read_arrays(folder / "landmarks.npz", {"landmarks": "float [478,3]"}, again)["landmarks"]
    try:
        generator = _build_generator(record, weights["generator"], f"the avatar {folder}")
        mapping = ExpressionMap.from_state(weights["expression_map"], generator.latent)
        if mapping.mean.shape != (len(record.expression.names),) or generator.image_size != record.image_size:
            raise ValueError("the record states other channels or another image size than the weights have")
    except (KeyError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        line = str(error).splitlines()[0] if isinstance(error, RuntimeError | ValueError) else repr(error)
        raise UnusableMaterial(
            f"the parts of the avatar {folder} do not belong together ({line}); copy it again, or make it with `{again}`."
        ) from error
    space = record.expression
    return Avatar(
        folder=folder, generator=generator.eval().to(device), expression_map=mapping.eval().to(device), space=space.space,
        names=space.names, neutral=np.array(space.neutral, np.float32), low=np.array(space.low, np.float32),
        high=np.array(space.high, np.float32), frontal=Camera.from_label(torch.tensor([record.frontal_camera])).to(device),
        image_size=record.image_size, prior_landmarks=landmarks, record=record,
    )  # fmt: skip


def _build_generator(record: AvatarRecord, weights: "dict[str, Any]", owner: str) -> Any:
    """The network of the record with its weights; ValueError, before any memory is taken, where their shapes differ."""
    import torch

    from pipelines.artifacts.family import config_from, family_of

    family = family_of(record.family, owner)
    config = config_from(family, record.config, owner)
    with torch.device("meta"):
        wanted = {name: tuple(value.shape) for name, value in family.build(config).state_dict().items()}
    for name, value in weights.items():
        if wanted.get(name, value.shape) != tuple(value.shape):
            raise ValueError(f"{name} has the shape {tuple(value.shape)}, its config says {wanted[name]}")
    generator = family.build(config)
    generator.load_state_dict(weights, strict=True)
    return generator


def head_frame_of(avatar: Path, record: AvatarRecord) -> HeadFrame:
    """The head frame of an avatar folder; of avatars made before it was recorded, from where their landmarks lie."""
    if record.crop_extent is None:
        raise UnusableMaterial(f"{avatar / NAME} has no crop_extent. Make it with `{made_by(avatar)}`.")
    sha256 = record.prior.sha256 or ""
    if record.frame is not None:
        return HeadFrame(
            prior_from_head=np.array(record.frame.prior_from_head), crop_extent=record.crop_extent,
            crop_center=record.frame.crop_center, matte_region=record.frame.matte_region, prior_sha256=sha256,
        )  # fmt: skip
    landmarks = read_arrays(avatar / "landmarks.npz", {"landmarks": "float [478,3]"}, made_by(avatar))["landmarks"]
    scale, rotation, shift = similarity(canonical_landmarks(), landmarks.astype(np.float64))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = scale * rotation, shift
    return HeadFrame(prior_from_head=matrix, crop_extent=record.crop_extent, prior_sha256=sha256)


def _tensors(path: Path, again: str) -> "dict[str, Any]":
    """The tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UnusableMaterial(f"{path} is missing. Make it with `{again}`.") from error
    except (OSError, SafetensorError) as error:
        raise UnusableMaterial(f"{path} is broken ({error}); copy it again, or make it with `{again}`.") from error
