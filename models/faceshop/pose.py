"""The two angles that 3DFaceShop's networks see of a camera, and its cameras on a sphere (spec 5).

phi is measured from the axis up, theta from the axis to the right: frontal is (pi/2, pi/2). A camera at
o = (sin phi cos theta, cos phi, sin phi sin theta) looks at the origin. Rolled cameras have the same angles.
"""

import math

import torch
from torch import Tensor

from models.camera import Camera, centered_intrinsics, look_at

POSE_DIM = 2
FOCAL = 1015 / 224
"""Of the face model's camera, over image size: 12.59 degrees."""
FRONTAL = math.pi / 2


def pose_angles(camera: Camera) -> Tensor:
    """[B,2] (phi, theta) of where cameras stand about the origin, radians."""
    x, y, z = torch.nn.functional.normalize(camera.world_from_camera[:, :3, 3], dim=1).unbind(1)
    return torch.stack([torch.acos(y.clamp(-1, 1)), torch.atan2(z, x)], 1)


def frontal_angles(count: int, like: Tensor) -> Tensor:
    """[count,2]"""
    return like.new_full((count, POSE_DIM), FRONTAL)


def camera_at(angles: Tensor, *, focal: float = FOCAL, distance: float = 1.0) -> Camera:
    """Cameras of angles [B,2] that look at the origin, upright; `focal` over image width."""
    phi, theta = angles.unbind(1)
    position = distance * torch.stack([phi.sin() * theta.cos(), phi.cos(), phi.sin() * theta.sin()], 1)
    intrinsics = centered_intrinsics(focal).to(angles).expand(len(angles), -1, -1)
    return Camera(world_from_camera=look_at(-position, position), intrinsics=intrinsics)


def focal_to_edges(fov_deg: float, size: int) -> float:
    """Focal length over width with which the outermost of `size` pixel centers see the edges of the field of view, as the
    official rays do; ours see half a pixel less. 12.6 degrees at 128: 4.4935 instead of 4.5289."""
    return 0.5 / math.tan(math.radians(fov_deg) / 2) * (size - 1) / size
