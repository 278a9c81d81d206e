"""Pictures moved by a flow of pixels (3DFaceShop section 4.3.2; spec 10)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def moved_by(images: Tensor, flow: Tensor) -> Tensor:
    """[B,C,H,W] whose pixel p is the image's at p - flow(p), bilinear, the border's beyond it; flow [B,2,H,W] in pixels, rows
    first."""
    height, width = images.shape[2:]
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    there = torch.stack([row, column]).to(flow) - flow
    y, x = (2 * there[:, 0] + 1) / height - 1, (2 * there[:, 1] + 1) / width - 1
    return F.grid_sample(images, torch.stack([x, y], -1), padding_mode="border", align_corners=False)
