"""The training frames as tensors: colors, head mattes, cameras, and which rays of a frame are worth a step."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera
from pipelines.artifacts import Dataset
from pipelines.face_fit import space_names
from pipelines.train.balance import rarity

GRAY = 0.0
"""The background behind every supervised and evaluated image: mid gray in [-1,1]."""
DETAILS = (((61, 291, 13, 14), 0.08), ((33, 133), 0.05), ((362, 263), 0.05))
"""Landmarks around mouth and eyes, and the radius in head units within which pixels count more."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Frames of one split at one image size; colors in [-1,1] are composited over mid gray by the head matte."""

    image: Tensor
    """[N,3,S,S]"""
    alpha: Tensor
    """[N,1,S,S] head matte in 0..1."""
    inside: Tensor
    """[N,1,S,S] 1 where the source frame has a pixel, 0 where the crop is padding."""
    detail: Tensor
    """[N,1,S,S] 0..1, near 1 around eyes and mouth, where little area carries most of the expression."""
    camera: Camera
    weight: Tensor
    """[N] confidence of the camera."""
    time_s: Tensor
    rarity: Tensor | None = None
    """[N] from 1 on, how rare face and view are (pipelines.train.balance)."""

    def __len__(self) -> int:
        return len(self.image)

    def raw(self, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Image, alpha, inside and detail at the neural rendering resolution, by area averages."""
        image, alpha, inside, detail = (
            F.adaptive_avg_pool2d(value, size) for value in (self.image, self.alpha, self.inside, self.detail)
        )
        return image, alpha, inside, detail


def load_frames(dataset: Dataset, split: str, size: int, landmarks: np.ndarray, device: str = "cpu") -> Frames:
    """`landmarks` [478,3] are the prior's: with the cameras they say where eyes and mouth are, whatever they do."""
    rows = dataset.rows(split)
    camera = camera_of(dataset, rows).to(device)
    alpha = torch.from_numpy(dataset.head_mattes(rows, size)).to(device).float()[:, None] / 255
    color = torch.from_numpy(dataset.images(rows, size)).to(device).float().permute(0, 3, 1, 2) / 127.5 - 1
    return Frames(
        image=color * alpha + GRAY * (1 - alpha), alpha=alpha,
        inside=torch.from_numpy(dataset.inside(rows, size)).to(device).float()[:, None],
        detail=face_detail(camera, torch.from_numpy(landmarks).float().to(device), size),
        camera=camera,
        weight=torch.from_numpy(dataset.weight[rows]).float().to(device), time_s=torch.from_numpy(dataset.time_s[rows]).float(),
        rarity=_rarity(dataset, rows),
    )  # fmt: skip


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


def camera_of(dataset: Dataset, rows: np.ndarray) -> Camera:
    return Camera(
        world_from_camera=torch.from_numpy(dataset.world_from_camera[rows]).float(),
        intrinsics=torch.from_numpy(dataset.intrinsics[rows]).float(),
    )


def near_frontal(dataset: Dataset) -> Camera:
    """The training camera that sees the face most frontally, centered, at the median distance and focal length.

    A view from outside the capture would show the tracker what the generator never learned.
    """
    rows = dataset.rows("train")
    away = np.linalg.norm(dataset.world_from_camera[rows, :3, 2] - np.array([0.0, 0.0, -1.0]), axis=1)
    rotation = dataset.world_from_camera[rows[away.argmin()], :3, :3]
    distance = np.median(np.linalg.norm(dataset.world_from_camera[rows, :3, 3], axis=1))
    focal = np.median(dataset.intrinsics[rows][:, [0, 1], [0, 1]])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -distance * rotation[:, 2]
    intrinsics = np.array([[focal, 0, 0.5], [0, focal, 0.5], [0, 0, 1]])
    return Camera(world_from_camera=torch.from_numpy(pose)[None].float(), intrinsics=torch.from_numpy(intrinsics)[None].float())


def foreground(raw_alpha: Tensor, margin: int = 2) -> Tensor:
    """[N,1,R,R] matte -> bool [N,R*R]: rays that may hit the head, grown by `margin` raw pixels."""
    grown = F.max_pool2d((raw_alpha > 0.01).float(), 2 * margin + 1, stride=1, padding=margin)
    return grown.flatten(1) > 0.5


def choose_rays(foreground: Tensor, inside: Tensor, background_share: float, random: torch.Generator) -> Tensor:
    """Row-major ray numbers [B,K]: every foreground ray and a random share of the others, padding rays last.

    K is the same for the whole batch, so images with a smaller head get more background rays. Some background has to stay,
    else density floats in front of it unseen.
    """
    empty = (~foreground).sum(1)
    count = int((foreground.sum(1) + (background_share * empty).long()).max())
    score = foreground.float() * 4 + torch.rand(foreground.shape, generator=random).to(foreground.device)
    score = score - 8 * (inside.flatten(1) < 0.5).float()
    return score.topk(min(count, foreground.shape[1]), dim=1).indices
