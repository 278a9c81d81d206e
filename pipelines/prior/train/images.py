"""A data set of images with cameras: shards of synthetic people, or `dataset.json` beside the pictures, in a folder or
a zip file.

{"labels": [["00000/img0.png", [25 numbers]], ...]}: camera-to-world row by row (OpenCV axes), then intrinsics over image size.
Six more numbers are a pose of neck and head (models.heads.skinned_body).
"""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.camera import LABEL_DIM, Camera
from models.heads import skinned_body
from models.heads.skinned_body import POSE
from pipelines.core.errors import UnusableMaterial
from pipelines.prior.people.shards import read_shard, shard_paths

Read = Callable[[str], bytes]
"""Name -> the bytes of a file of the data set."""


@dataclass(frozen=True, kw_only=True)
class LabeledImages:
    """N pictures and their cameras."""

    names: tuple[str, ...]
    labels: Tensor
    """[N,25]"""
    pixels: Callable[[int], np.ndarray | None]
    """Number below N -> uint8 RGB [H,W,3], None where the picture cannot be read."""
    source: Path
    mirrored: bool = False
    """Every picture a second time, left and right exchanged, with the camera and pose that fit."""
    poses: Tensor | None = None
    """[N,6] of neck and head as labels say, radians."""
    true_poses: Tensor | None = None
    """[N,6] as they were, where it is known."""
    masks: Callable[[int], np.ndarray | None] | None = None
    """Number below N -> uint8 [H,W], 255 where the person is."""

    def __len__(self) -> int:
        return len(self.names) * (2 if self.mirrored else 1)

    def label(self, number: int) -> Tensor:
        """[25] of picture `number`; from N on the mirrored ones."""
        label = self.labels[number % len(self.names)]
        return label if number < len(self.names) else Camera.from_label(label[None]).mirrored().label()[0]

    def pose(self, number: int, true: bool = False) -> Tensor:
        """[6] of picture `number`."""
        poses = self.true_poses if true else self.poses
        assert poses is not None, "these images have no poses"
        pose = poses[number % len(self.names)]
        return pose if number < len(self.names) else skinned_body.mirrored(pose)

    def mask_batch(self, numbers: list[int], size: int) -> Tensor:
        """Masks [B,1,size,size] in 0..1."""
        return torch.from_numpy(np.stack([self.mask(number, size) for number in numbers]))[:, None].float() / 255

    def mask(self, number: int, size: int) -> np.ndarray:
        """uint8 [size,size]; UnusableMaterial where it cannot be read."""
        import cv2

        assert self.masks is not None, "these images have no masks"
        name, found = self.names[number % len(self.names)], self.masks(number % len(self.names))
        if found is None:
            raise UnusableMaterial(f"the mask of {name} in {self.source} is not a readable picture.")
        found = cv2.resize(found, (size, size), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(found[:, ::-1] if number >= len(self.names) else found)

    def batch(self, numbers: list[int], size: int) -> tuple[Tensor, Tensor]:
        """Images [B,3,size,size] in [-1,1] and labels [B,25]."""
        pictures = np.stack([self.picture(number, size) for number in numbers])
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
        return images, torch.stack([self.label(number) for number in numbers])

    def picture(self, number: int, size: int) -> np.ndarray:
        """uint8 [size,size,3]; larger ones are reduced. UnusableMaterial when it is no square picture at least that large."""
        import cv2

        name, found = self.names[number % len(self.names)], self.pixels(number % len(self.names))
        if found is None:
            raise UnusableMaterial(f"{name} in {self.source} is not a readable picture; remove it from dataset.json.")
        height, width = found.shape[:2]
        if height != width or height < size:
            raise UnusableMaterial(
                f"{name} in {self.source} has {width}x{height} px; square ones of at least {size} are needed."
            )
        if height > size:
            found = cv2.resize(found, (size, size), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(found[:, ::-1] if number >= len(self.names) else found)


def open_images(source: Path, *, mirrored: bool = False) -> LabeledImages:
    """The data set in a folder or a zip file; UnusableMaterial names what is missing."""
    if source.is_dir() and not (source / "dataset.json").exists() and any(source.glob("shard_*.npz")):
        return _of_shards(source, mirrored)
    read, where = reader_of(source)
    try:
        record = json.loads(read("dataset.json"))
    except (KeyError, OSError) as error:
        raise UnusableMaterial(f"{source} has no dataset.json; give pictures with a dataset.json of their cameras.") from error
    except ValueError as error:
        raise UnusableMaterial(f"{source}: dataset.json is not JSON ({error}).") from error
    pairs = record.get("labels") if isinstance(record, dict) else None
    if not pairs:
        raise UnusableMaterial(f"{source}: dataset.json has no labels; cameras are needed, 25 numbers a picture.")
    try:
        names, labels = zip(*pairs, strict=True)
        cameras = torch.tensor(labels, dtype=torch.float32)
    except (TypeError, ValueError) as error:
        raise UnusableMaterial(f"{source}: labels in dataset.json must be pairs of a name and {LABEL_DIM} numbers.") from error
    if cameras.ndim != 2 or cameras.shape[1] not in (LABEL_DIM, LABEL_DIM + POSE) or not cameras.isfinite().all():
        raise UnusableMaterial(f"{source}: labels in dataset.json must be {LABEL_DIM} finite numbers each, or {POSE} more.")
    if absent := [name for name in names if name not in where]:
        raise UnusableMaterial(f"{source}: dataset.json names {absent[0]}, which is not there ({len(absent)} are missing).")
    return LabeledImages(
        names=tuple(names),
        labels=cameras[:, :LABEL_DIM],
        poses=cameras[:, LABEL_DIM:] if cameras.shape[1] > LABEL_DIM else None,
        pixels=lambda number: decoded(read(names[number])),
        source=source,
        mirrored=mirrored,
    )


def _of_shards(folder: Path, mirrored: bool) -> LabeledImages:
    """All pictures of the shards, kept in memory: 49 kB each at 128x128."""
    rows = [(path.name, read_shard(path, ("image", "camera"))) for path in shard_paths(folder)]
    images = np.concatenate([shard["image"] for _, shard in rows])
    return LabeledImages(
        names=tuple(f"{name}[{row}]" for name, shard in rows for row in range(len(shard["image"]))),
        labels=torch.from_numpy(np.concatenate([shard["camera"] for _, shard in rows])), pixels=lambda number: images[number],
        source=folder, mirrored=mirrored,
    )  # fmt: skip


def decoded(content: bytes) -> np.ndarray | None:
    import cv2

    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else found[..., ::-1]


def reader_of(source: Path) -> tuple[Read, set[str]]:
    """How to read a file of the data set, and the names there are."""
    if source.is_dir():
        names = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
        return lambda name: (source / name).read_bytes(), names
    if not zipfile.is_zipfile(source):
        raise UnusableMaterial(f"{source} is neither a folder nor a zip file of images.")
    content = io.BytesIO(source.read_bytes()) if source.stat().st_size < 1 << 28 else None
    archive = zipfile.ZipFile(content or source)
    return archive.read, set(archive.namelist())
