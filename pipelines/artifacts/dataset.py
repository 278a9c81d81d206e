"""What training, evaluation and torso read of a capture: square crops with their cameras, in one head frame at a time."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays
from pipelines.face.openings import of_open_eyes, openings
from pipelines.geometry.rigid import pinhole, project

if TYPE_CHECKING:
    from models.camera import Camera


class Pixels(Protocol):
    """The pictures of a dataset, `rows` [K] of its frames at `size` px."""

    def images(self, rows: np.ndarray, size: int) -> np.ndarray:
        """uint8 [K,size,size,3] RGB."""
        ...

    def person_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        """uint8 [K,size,size]: the person's alpha."""
        ...

    def head_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        """uint8 [K,size,size]: the person's alpha in the region that the generator is to reproduce."""
        ...


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Square crops with their cameras; rows are frames in the order of time."""

    folder: Path
    """The capture."""
    names: list[str]
    source_index: np.ndarray
    """[N] decoded frame number in the source video, from 0."""
    time_s: np.ndarray
    split: np.ndarray
    """[N] of `train` or `test`; test is the last part of the video by time."""
    weight: np.ndarray
    """[N] in 0..1, confidence of the camera."""
    world_from_camera: np.ndarray
    """[N,4,4] float64, the frame's head space and units, OpenCV axes."""
    intrinsics: np.ndarray
    """[N,3,3] normalized by the crop's side."""
    box: np.ndarray
    """[N,3] x0, y0, side of the crop in pixels of the source frame."""
    frame_size: tuple[int, int]
    """Width, height of the source frame."""
    pixels: Pixels

    def rows(self, split: str) -> np.ndarray:
        return np.flatnonzero(self.split == split)

    def images(self, rows: np.ndarray, size: int) -> np.ndarray:
        """uint8 [len(rows),size,size,3] RGB crops."""
        return self.pixels.images(rows, size)

    def person_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        """uint8 [len(rows),size,size]: the person's alpha."""
        return self.pixels.person_mattes(rows, size)

    def head_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        """uint8 [len(rows),size,size]: the person's alpha times the region's weight; what the generator is to reproduce."""
        return self.pixels.head_mattes(rows, size)

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
        """landmarks [N,478,3] px in the source frame, expression_measured [N,E] against the canonical head."""
        arrays = read_arrays(self.folder / "tracking.npz")
        return {name: values for name, values in arrays.items() if name != "camera_from_head"}

    def openings(self) -> np.ndarray:
        """[N,3] gaps of lips and lids, the lids' over the person's own open eye (pipelines.face.openings)."""
        return of_open_eyes(openings(self.tracking()["landmarks"]))

    def expression(self, space: str) -> np.ndarray:
        """[N,E] raw scores in `space`; UnusableMaterial when it was not tracked there."""
        tracking, name = self.tracking(), f"expression_{space}"
        if name not in tracking:
            raise UnusableMaterial(
                f"{self.folder} was not tracked in the space {space!r}; capture it again with those weights."
            )
        return tracking[name]


GRAY = 0.0
"""The background behind every supervised and evaluated image: mid gray in [-1,1]."""


def camera_of(dataset: Dataset, rows: np.ndarray) -> "Camera":
    """The cameras of some rows."""
    import torch

    from models.camera import Camera

    return Camera(
        world_from_camera=torch.from_numpy(dataset.world_from_camera[rows]).float(),
        intrinsics=torch.from_numpy(dataset.intrinsics[rows]).float(),
    )


def near_frontal(dataset: Dataset) -> "Camera":
    """The training camera that sees the face most frontally, the head's origin where all crops have it, at the median distance
    and focal length.

    A view from outside the capture would show the tracker what the generator never learned.
    """
    import torch

    from models.camera import Camera

    rows = dataset.rows("train")
    away = np.linalg.norm(dataset.world_from_camera[rows, :3, 2] - np.array([0.0, 0.0, -1.0]), axis=1)
    rotation = dataset.world_from_camera[rows[away.argmin()], :3, :3]
    distance = np.median(np.linalg.norm(dataset.world_from_camera[rows, :3, 3], axis=1))
    focal = np.median(dataset.intrinsics[rows][:, [0, 1], [0, 1]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -distance * rotation[:, 2]
    origin = project(dataset.world_from_camera[rows], dataset.intrinsics[rows], np.zeros((1, 3)))[:, 0, :2]
    intrinsics = pinhole(float(focal), np.round(np.median(origin, axis=0), 6))
    return Camera(world_from_camera=torch.from_numpy(pose)[None].float(), intrinsics=torch.from_numpy(intrinsics)[None].float())
