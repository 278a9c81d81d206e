"""Where the latents of the frames start: principal components of the face as if seen from the front.

An auto-decoder that starts from equal latents learns the mean face first and expressions late. The cameras are known, so every
frame can be resampled on one sheet in head space that lies roughly on the face; what differs between these pictures is mostly
expression and light. Nothing is tracked or labeled.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.train.frames import Frames

HALF_WIDTH, TOP, BOTTOM = 0.2, 0.14, -0.28
"""Border of the sheet in head units, brows to chin."""
FRONT, CURVE = 0.32, 1.2
"""z = FRONT - CURVE x^2 on the sheet."""
SIDE = 40
"""Resampled pixels along each side."""


def initial_codes(
    frames: Frames, w_dim: int, count: int, spread: float, random: torch.Generator, subspace: Tensor | None = None
) -> Tensor:
    """[N,w_dim] codes of mean 0 and standard deviation `spread` a dimension, from `count` principal components.

    Components are half whitened (scaled by the square root of their singular value), then turned by a random orthonormal basis,
    so that every dimension of w carries some of each; given an orthonormal `subspace` [K,w_dim], every one of its directions.
    """
    pictures = frontal_pictures(frames).flatten(1)
    pictures = (pictures - pictures.mean(1, keepdim=True)) / pictures.std(1, keepdim=True).clamp(min=1e-3)
    left, scale, _ = torch.linalg.svd(pictures - pictures.mean(0), full_matrices=False)
    dims = w_dim if subspace is None else len(subspace)
    kept = min(count, dims, len(scale))
    components = left[:, :kept] * scale[:kept].sqrt()
    basis = torch.linalg.qr(torch.randn(dims, kept, generator=random)).Q.T.to(components)
    codes = components @ (basis if subspace is None else basis @ subspace.to(components))
    return codes * (spread / codes.std().clamp(min=1e-8))


def frontal_pictures(frames: Frames) -> Tensor:
    """[N,3,SIDE,SIDE] colors on the sheet, seen by each frame's own camera; gray where the frame has no pixel."""
    x = torch.linspace(-HALF_WIDTH, HALF_WIDTH, SIDE)
    y = torch.linspace(TOP, BOTTOM, SIDE)
    down, across = torch.meshgrid(y, x, indexing="ij")
    points = torch.stack([across, down, FRONT - CURVE * across**2], -1).view(1, -1, 3).to(frames.image)
    where, _ = frames.camera.project(points.expand(len(frames), -1, -1))
    grid = (where * 2 - 1).view(len(frames), SIDE, SIDE, 2)
    return F.grid_sample(frames.image, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
