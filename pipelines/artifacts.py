"""What lies between the stages: the dataset inside a capture folder, a driver's track, an avatar folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.errors import UnusableMaterial
from pipelines.files import read_arrays, read_image, read_json, write_arrays

if TYPE_CHECKING:
    from models.camera import Camera
    from models.eg3d import EG3D
    from models.expression_map import ExpressionMap

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Aligned square crops with their cameras; rows are frames in the order of time."""

    folder: Path
    names: list[str]
    source_index: np.ndarray
    """[N] decoded frame number in the source video, from 0."""
    time_s: np.ndarray
    split: np.ndarray
    """[N] of `train` or `test`; test is the last part of the video by time."""
    weight: np.ndarray
    """[N] in 0..1, confidence of the camera."""
    world_from_camera: np.ndarray
    """[N,4,4] float64, head space, OpenCV axes."""
    intrinsics: np.ndarray
    """[N,3,3] normalized by the crop's side."""
    box: np.ndarray
    """[N,3] x0, y0, side of the crop in pixels of the source frame."""
    frame_size: tuple[int, int]
    """Width, height of the source frame."""

    def rows(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.split == split)

    def images(self, rows: np.ndarray, size: int) -> np.ndarray:
        """uint8 [len(rows),size,size,3] RGB crops."""
        return np.stack([_resized(read_image(self.folder / "crops" / f"{self.names[i]}.png"), size) for i in rows])

    def head_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        """uint8 [len(rows),size,size]: the person's alpha times the neck weight; what the generator is to reproduce."""
        return np.stack([_resized(read_image(self.folder / "heads" / f"{self.names[i]}.png"), size) for i in rows])

    def inside(self, rows: np.ndarray, size: int) -> np.ndarray:
        """bool [len(rows),size,size]: pixels whose center lies in the source frame; the others are padding, count nowhere."""
        centers = (np.arange(size) + 0.5) / size
        x = self.box[rows, None, 0] + centers * self.box[rows, None, 2]
        y = self.box[rows, None, 1] + centers * self.box[rows, None, 2]
        margin = self.box[rows, None, 2] / size
        across = (x > margin) & (x < self.frame_size[0] - margin)
        down = (y > margin) & (y < self.frame_size[1] - margin)
        return down[:, :, None] & across[:, None, :]

    def tracking(self) -> dict[str, np.ndarray]:
        """landmarks [N,478,3] px in the source frame, expression_measured [N,E], camera_from_head [N,4,4]."""
        return read_arrays(self.folder / "tracking.npz")


def load_dataset(capture: Path) -> Dataset:
    """The dataset of a capture folder; UnusableMaterial when it is missing, broken or of another schema."""
    record = read_json(capture / "dataset.json", "avatarcli capture VIDEO -o " + capture.name)
    if record.get("schema") != SCHEMA:
        raise UnusableMaterial(f"{capture / 'dataset.json'} has schema {record.get('schema')}, this version reads {SCHEMA}.")
    items = record["items"]
    labels = np.array([label for _, label in record["labels"]], np.float64)
    return Dataset(
        folder=capture, names=[item["name"] for item in items],
        source_index=np.array([item["source_index"] for item in items]), time_s=np.array([item["time_s"] for item in items]),
        split=np.array([item["split"] for item in items]), weight=np.array([item["weight"] for item in items]),
        world_from_camera=labels[:, :16].reshape(-1, 4, 4), intrinsics=labels[:, 16:].reshape(-1, 3, 3),
        box=np.array([item["box"] for item in items], np.float64),
        frame_size=(record["frame_size"][0], record["frame_size"][1]),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Track:
    """A driver's motion, a row a frame."""

    space: str
    """Name of the expression space, see pipelines.face_fit."""
    names: tuple[str, ...]
    rate_hz: float
    times_s: np.ndarray
    expression: np.ndarray
    """[T,E] raw scores of the space."""
    world_from_head: np.ndarray
    """[T,4,4] the driver's camera frame as world, OpenCV axes."""
    confidence: np.ndarray
    valid: np.ndarray
    """[T] bool; False where the face was lost and the row is interpolated or held."""
    duration_s: float | None = None
    """Length of what was tracked, where that is known: the last row's own length is in it."""

    @property
    def length_s(self) -> float:
        return self.duration_s or float(self.times_s[-1] - self.times_s[0]) + 1 / self.rate_hz


def save_track(path: Path, track: Track) -> None:
    write_arrays(
        path, space=np.array(track.space), names=np.array(track.names), rate_hz=np.array(track.rate_hz), times_s=track.times_s,
        expression=track.expression, world_from_head=track.world_from_head, confidence=track.confidence, valid=track.valid,
        duration_s=np.array(track.duration_s or 0.0), schema=np.array(SCHEMA),
    )  # fmt: skip


def load_track(path: Path) -> Track:
    """The track in a file; UnusableMaterial when it is another file or of another schema."""
    values = read_arrays(path)
    rows = ("times_s", "expression", "world_from_head", "confidence", "valid")
    missing = [name for name in ("space", "names", "rate_hz", *rows) if name not in values]
    if missing or int(values.get("schema", SCHEMA)) != SCHEMA:
        why = f"it has no {missing[0]}" if missing else f"it has schema {values['schema']}, this version reads {SCHEMA}"
        raise UnusableMaterial(f"{path} is no track ({why}); make one with `avatarcli track VIDEO -o {path.stem}.track`.")
    return Track(
        space=str(values["space"]), names=tuple(map(str, values["names"])), rate_hz=float(values["rate_hz"]),
        duration_s=float(values.get("duration_s", 0.0)) or None, **{name: values[name] for name in rows},
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Avatar:
    """A personal generator with its expression map, ready to drive."""

    folder: Path
    generator: "EG3D"
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
    from models.eg3d import EG3D, EG3DConfig
    from models.expression_map import ExpressionMap

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


def _resized(image: np.ndarray, size: int) -> np.ndarray:
    import cv2

    if image.shape[0] == size:
        return image
    shrink = image.shape[0] > size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
