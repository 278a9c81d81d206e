"""Five points of a face and the similarities that bring faces to one place (3DFaceShop section 5.2; spec 9 and 12).

Points are [..,5,2]: the center of the eye on the image's left, the other's, the tip of the nose, the corners of the mouth. Rows
may point up or down, as long as source and target agree.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

FIVE = ((36, 39), (42, 45), (30,), (48,), (54,))
"""Of the 68 landmarks, those whose mean is each of the five points."""
RECOGNITION_SIZE = 112
RECOGNITION_POINTS = (
    (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)
)  # fmt: skip
"""Where recognizers of the ArcFace line expect them on 112 px, rows down."""


def five_points(landmarks: Tensor) -> Tensor:
    """[..,5,2] of the 68 landmarks [..,68,2]."""
    return torch.stack([landmarks[..., list(rows), :].mean(-2) for rows in FIVE], -2)


def similarity(source: Tensor, target: Tensor) -> Tensor:
    """[B,2,3] rotation, scale and shift that take points [B,N,2] most nearly to target [B,N,2], by least squares.

    (0,0), (1,0) to (2,1), (2,3): turned by a quarter, doubled, moved by (2,1).
    """
    middles = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    (x, y), (u, v) = (source - middles[0]).unbind(-1), (target - middles[1]).unbind(-1)
    spread = (x * x + y * y).sum(1)
    a, b = (x * u + y * v).sum(1) / spread, (x * v - y * u).sum(1) / spread
    linear = torch.stack([torch.stack([a, -b], -1), torch.stack([b, a], -1)], -2)
    shift = middles[1].mT - linear @ middles[0].mT
    return torch.cat([linear, shift], -1)


def moved(points: Tensor, matrix: Tensor) -> Tensor:
    """Points [B,N,2] by matrices [B,2,3]."""
    return points @ matrix[..., :2].mT + matrix[..., 2][:, None]


def weak_perspective(flat: Tensor, solid: Tensor) -> tuple[Tensor, Tensor]:
    """Scale [] and shift [2] of the affine camera that shows solid points [N,3] most nearly at flat ones [N,2]: the mean
    length of its two rows, and where it shows the origin."""
    rows = torch.cat([solid, torch.ones_like(solid[:, :1])], 1)
    camera = torch.linalg.lstsq(rows, flat).solution
    return camera[:3].norm(dim=0).mean(), camera[3]


def cropped_by(images: Tensor, matrix: Tensor, size: int) -> Tensor:
    """[B,C,size,size] of images [B,C,H,W] whose pixels matrix [B,2,3] takes to those of the crop; bilinear, 0 outside.

    Differentiable in the images.
    """
    height, width = images.shape[2:]
    square = F.pad(matrix, (0, 0, 0, 1))
    square[:, 2, 2] = 1
    back = torch.linalg.inv(square)[:, :2]
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    pixels = torch.stack([column, row], -1).to(images).view(1, -1, 2).expand(len(images), -1, -1)
    there = moved(pixels, back)
    grid = (2 * there + 1) / torch.tensor([width, height]).to(images) - 1
    return F.grid_sample(images, grid.unflatten(1, (size, size)), padding_mode="zeros", align_corners=False)


def recognition_crop(images: Tensor, landmarks: Tensor) -> Tensor:
    """[B,3,112,112] of images [B,3,H,W] by their 68 landmarks [B,68,2] in pixels, rows down, as a recognizer expects them."""
    target = torch.tensor(RECOGNITION_POINTS).to(landmarks).expand(len(landmarks), -1, -1)
    return cropped_by(images, similarity(five_points(landmarks), target), RECOGNITION_SIZE)
