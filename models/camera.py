"""Cameras in head space: pose and intrinsics that are resized, cropped and turned into rays together (EG3D spec 1.7).

Axes are OpenCV's (x right, y down, z forward); intrinsics are over image size, so resizing an image leaves them as they are;
pixel centers lie at +0.5, as in COLMAP. The 25 numbers of EG3D's labels appear only at a network's door.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LABEL_DIM = 25
"""Numbers of a camera's label: pose [4,4] and intrinsics [3,3], row by row."""
Index = int | slice | list[int] | Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A batch of pinhole cameras."""

    world_from_camera: Tensor
    """[B,4,4] camera axes to head space, in head units."""
    intrinsics: Tensor
    """[B,3,3] [[fx/w, skew, cx/w], [0, fy/h, cy/h], [0, 0, 1]]."""

    def __post_init__(self) -> None:
        if self.world_from_camera.shape[1:] != (4, 4) or self.intrinsics.shape[1:] != (3, 3):
            shapes = tuple(self.world_from_camera.shape), tuple(self.intrinsics.shape)
            raise ValueError(f"a Camera is [B,4,4] poses and [B,3,3] intrinsics, not {shapes[0]} and {shapes[1]}")

    def __len__(self) -> int:
        return len(self.world_from_camera)

    def __getitem__(self, index: Index) -> "Camera":
        """The chosen cameras, still a batch: camera[3] holds one."""
        index = [index] if isinstance(index, int) else index
        return Camera(world_from_camera=self.world_from_camera[index], intrinsics=self.intrinsics[index])

    def to(self, device: torch.device | str) -> "Camera":
        return Camera(world_from_camera=self.world_from_camera.to(device), intrinsics=self.intrinsics.to(device))

    def rays(self, size: int | tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Origins and unit directions [B,H*W,3], row by row, through the pixel centers of an image of `size` (side, or H, W).

        u = (j+.5)/W, v = (i+.5)/H; Y = (v - cy)/fy, X = (u - cx - skew Y)/fx; direction = normalize(R (X, Y, 1)).
        """
        height, width = (size, size) if isinstance(size, int) else size
        device, dtype = self.intrinsics.device, self.intrinsics.dtype
        v, u = torch.meshgrid(
            (torch.arange(height, device=device, dtype=dtype) + 0.5) / height,
            (torch.arange(width, device=device, dtype=dtype) + 0.5) / width,
            indexing="ij",
        )
        fx, fy, cx, cy, skew = self._numbers()
        y = (v.reshape(1, -1) - cy) / fy
        x = (u.reshape(1, -1) - cx - skew * y) / fx
        rotation = self.world_from_camera[:, :3, :3]
        directions = F.normalize(torch.stack([x, y, torch.ones_like(x)], dim=2) @ rotation.mT, dim=2)
        return self.world_from_camera[:, None, :3, 3].expand_as(directions), directions

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Image positions [B,N,2] over image size (0..1 inside) and depths [B,N,1] along the optical axis of points [B,N,3]."""
        rotation, center = self.world_from_camera[:, :3, :3], self.world_from_camera[:, None, :3, 3]
        in_camera = (points - center) @ rotation
        homogeneous = in_camera @ self.intrinsics.mT
        return homogeneous[..., :2] / homogeneous[..., 2:], in_camera[..., 2:]

    def cropped(self, box: Tensor | tuple[float, float, float, float]) -> "Camera":
        """The camera of the crop [x0, y0, x1, y1], given over image size, one box or [B,4]; may reach outside the image.

        The central half, (0.25, 0.25, 0.75, 0.75), doubles the focal length and leaves a central principal point at 0.5.
        """
        x0, y0, x1, y1 = torch.as_tensor(box, device=self.intrinsics.device).to(self.intrinsics).expand(len(self), 4).unbind(1)
        zero, one = torch.zeros_like(x0), torch.ones_like(x0)
        rows = [1 / (x1 - x0), zero, -x0 / (x1 - x0), zero, 1 / (y1 - y0), -y0 / (y1 - y0), zero, zero, one]
        crop_from_image = torch.stack(rows, dim=1).view(-1, 3, 3)
        return Camera(world_from_camera=self.world_from_camera, intrinsics=crop_from_image @ self.intrinsics)

    def mirrored(self) -> "Camera":
        """The camera that sees the world mirrored in x as this one's image flipped left to right.

        S M S with S = diag(-1,1,1,1), cx <- 1 - cx and skew <- -skew: label entries 1, 2, 3, 4, 8 change sign. A camera at
        (1, 0, 2) with cx 0.4 goes to (-1, 0, 2) with cx 0.6.
        """
        sign = torch.tensor([-1.0, 1.0, 1.0, 1.0]).to(self.world_from_camera)
        intrinsics = self.intrinsics.clone()
        intrinsics[:, 0, 1], intrinsics[:, 0, 2] = -intrinsics[:, 0, 1], 1 - intrinsics[:, 0, 2]
        return Camera(world_from_camera=self.world_from_camera * sign * sign[:, None], intrinsics=intrinsics)

    def label(self) -> Tensor:
        """[B,25]: pose row by row, then intrinsics row by row."""
        return torch.cat([self.world_from_camera.flatten(1), self.intrinsics.flatten(1)], dim=1)

    @classmethod
    def from_label(cls, label: Tensor) -> "Camera":
        """The inverse of `label`."""
        return cls(world_from_camera=label[:, :16].reshape(-1, 4, 4), intrinsics=label[:, 16:25].reshape(-1, 3, 3))

    @classmethod
    def frontal(cls, distance: float, focal: float) -> "Camera":
        """One camera at (0, 0, distance) that looks at the origin; `focal` over image width."""
        return cls(world_from_camera=orbit(math.pi / 2, math.pi / 2, distance), intrinsics=centered_intrinsics(focal))

    def _numbers(self) -> tuple[Tensor, ...]:
        """fx, fy, cx, cy, skew, each [B,1]."""
        k = self.intrinsics
        return tuple(k[:, row, column, None] for row, column in ((0, 0), (1, 1), (0, 2), (1, 2), (0, 1)))


def centered_intrinsics(focal: float) -> Tensor:
    """[1,3,3] with the principal point in the middle; FFHQ's 4.2647 sees 2 atan(0.5/4.2647) = 13.37 degrees."""
    return torch.tensor([[[focal, 0.0, 0.5], [0.0, focal, 0.5], [0.0, 0.0, 1.0]]])


def look_at(forward: Tensor, position: Tensor) -> Tensor:
    """[B,4,4] world_from_camera of cameras at `position` [B,3] that look along `forward` [B,3], upright in the world."""
    forward = F.normalize(forward, dim=1)
    right = -F.normalize(torch.linalg.cross(forward.new_tensor([[0.0, 1.0, 0.0]]).expand_as(forward), forward), dim=1)
    down = F.normalize(torch.linalg.cross(forward, right), dim=1)
    matrix = torch.eye(4, device=forward.device, dtype=forward.dtype).repeat(len(forward), 1, 1)
    matrix[:, :3, :3] = torch.stack([right, down, forward], dim=2)
    matrix[:, :3, 3] = position
    return matrix


def orbit(
    horizontal: float | Tensor, vertical: float | Tensor, radius: float, target: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Tensor:
    """[B,4,4] world_from_camera on a sphere around the world's origin; `target` only turns the camera.

    phi = arccos(1 - 2 v/pi), position = radius (sin phi cos(pi-h), cos phi, sin phi sin(pi-h)). h = v = pi/2 is frontal:
    rotation diag(1,-1,-1), position (0, 0, radius). `vertical` is not an angle but the share of the sphere's height times pi.
    """
    h, v = torch.broadcast_tensors(torch.as_tensor(horizontal).float().view(-1), torch.as_tensor(vertical).float().view(-1))
    phi = torch.arccos(1 - 2 * v.clamp(1e-5, math.pi - 1e-5) / math.pi)
    unit = torch.stack([phi.sin() * (math.pi - h).cos(), phi.cos(), phi.sin() * (math.pi - h).sin()], dim=1)
    position = radius * unit
    return look_at(position.new_tensor(target) - position, position)
