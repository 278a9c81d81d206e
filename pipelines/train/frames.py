"""The training frames as tensors: colors, head mattes, cameras, and which rays of a frame are worth a step."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from pipelines.artifacts.dataset import GRAY, Dataset, camera_of
from pipelines.face.expression import space_names
from pipelines.media.foreground import foreground
from pipelines.train.sampling_weights import rarity

DETAILS = (((61, 291, 13, 14), 0.08), ((33, 133), 0.05), ((362, 263), 0.05))
"""Landmarks around mouth and eyes, and the radius in head units within which pixels count more."""

TOUCH, TOUCH_PX = 25, 2
"""A head whose matte (0 to 255) is above this, this near to the film's border, may go on beyond it."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frames of one split at one image size; colors in [-1,1] are composited over mid gray by the head matte."""

    image: Tensor
    """[N,3,S,S]"""
    alpha: Tensor
    """[N,1,S,S] head matte in 0..1."""
    inside: Tensor
    """[N,1,S,S] 1 where the source frame has a pixel, or lies beyond a border that the head does not touch; 0 where it is
    unknown what the film would show."""
    detail: Tensor
    """[N,1,S,S] 0..1, near 1 around eyes and mouth, where little area carries most of the expression."""
    camera: Camera
    weight: Tensor
    """[N] confidence of the camera."""
    time_s: Tensor
    rarity: Tensor | None = None
    """[N] from 1 on, how rare face and view are (pipelines.train.sampling_weights)."""

    def __len__(self) -> int:
        return len(self.image)

    def raw(self, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image, alpha, inside and detail at the neural rendering resolution, by area averages."""
        image, alpha, inside, detail = (
            F.adaptive_avg_pool2d(value, size) for value in (self.image, self.alpha, self.inside, self.detail)
        )
        return image, alpha, inside, detail


def load_frames(
    dataset: Dataset, split: str, size: int, landmarks: np.ndarray, device: str = "cpu", *, clean: bool = False
) -> Frames:  # fmt: skip
    """`landmarks` [478,3] are the prior's: with the cameras they say where eyes and mouth are, whatever they do.

    `clean` frees the colors of hair edges of the background that shone through.
    """
    rows = dataset.rows(split)
    camera = camera_of(dataset, rows).to(device)
    heads = dataset.head_mattes(rows, size)
    alpha = torch.from_numpy(heads).to(device).float()[:, None] / 255
    color = torch.from_numpy(_colors(dataset, rows, size, clean)).to(device).float().permute(0, 3, 1, 2) / 127.5 - 1
    inside = empty_beyond(dataset.inside(rows, size), heads)
    return Frames(
        image=color * alpha + GRAY * (1 - alpha), alpha=alpha, inside=torch.from_numpy(inside).to(device).float()[:, None],
        detail=face_detail(camera, torch.from_numpy(landmarks).float().to(device), size),
        camera=camera,
        weight=torch.from_numpy(dataset.weight[rows]).float().to(device), time_s=torch.from_numpy(dataset.time_s[rows]).float(),
        rarity=_rarity(dataset, rows),
    )  # fmt: skip


def _colors(dataset: Dataset, rows: np.ndarray, size: int, clean: bool) -> np.ndarray:
    """uint8 [N,size,size,3]."""
    images = dataset.images(rows, size)
    if not clean:
        return images
    return np.stack([foreground(*pair) for pair in zip(images, dataset.person_mattes(rows, size), strict=True)])


def empty_beyond(inside: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`inside` bool [N,S,S], also true beyond borders of the film that the head's `alpha` uint8 [N,S,S] does not touch."""
    for turns in range(4):
        turned = _empty_above(np.rot90(inside, turns, (1, 2)), np.rot90(alpha, turns, (1, 2)))
        inside = np.rot90(turned, -turns, (1, 2))
    return np.ascontiguousarray(inside)


def _empty_above(inside: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """For the film's upper border alone."""
    row = np.arange(inside.shape[1])
    first = inside.any(2).argmax(1)[:, None]
    border = (row >= first) & (row < first + TOUCH_PX)
    touched = np.asarray(np.any(border & np.any(alpha > TOUCH, axis=2), axis=1, keepdims=True))
    above = np.asarray(np.less(row, first) & np.logical_not(touched))
    columns = np.asarray(inside.any(1))
    return inside | above[:, :, None] & columns[:, None, :]


def _rarity(dataset: Dataset, rows: np.ndarray) -> Tensor | None:
    """None where no face was tracked."""
    expression = dataset.tracking().get("expression_measured")
    if expression is None:
        return None
    return torch.from_numpy(rarity(expression[rows], space_names("measured"), dataset.world_from_camera[rows]))


def face_detail(camera: Camera, landmarks: Tensor, size: int) -> Tensor:
    """[N,1,size,size] the largest of three Gaussian blobs at both eyes and the mouth of the prior's mean face."""
    centers = torch.stack([landmarks[list(points)].mean(0) for points, _ in DETAILS])
    radius = torch.tensor([value for _, value in DETAILS], device=landmarks.device)
    where, depth = camera.project(centers.expand(len(camera), -1, -1))
    reach = radius * camera.intrinsics[:, :1, 0] / depth[..., 0]
    grid = (torch.arange(size, device=landmarks.device) + 0.5) / size
    across = (grid[None, None, None, :] - where[:, :, 0, None, None]).square()
    down = (grid[None, None, :, None] - where[:, :, 1, None, None]).square()
    return torch.exp(-(across + down) / (2 * reach[:, :, None, None].square())).amax(1, keepdim=True)
