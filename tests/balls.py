"""A tiny data set in EG3D's format, colored balls seen by cameras, and a configuration that learns it in seconds."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from models.camera import Camera, orbit
from models.eg3d.config import UNIT

COUNT = 12


def write_balls(folder: Path) -> Path:
    random = np.random.default_rng(0)
    (folder / "00000").mkdir(parents=True)
    poses = orbit(torch.linspace(1.2, 1.9, COUNT), torch.pi / 2, 2.7)
    intrinsics = Camera.frontal(2.7, 3.0).intrinsics.expand(COUNT, 3, 3)
    labels = Camera(world_from_camera=poses, intrinsics=intrinsics).label().tolist()
    pairs = []
    for number in range(COUNT):
        image = np.zeros((32, 32, 3), np.uint8)
        cv2.circle(image, (16, 16), 10, random.integers(60, 255, 3).tolist(), -1)
        cv2.circle(image, (11 + number // 2, 14), 3, (0, 0, 0), -1)
        cv2.imwrite(str(folder / f"00000/img{number:03d}.png"), image)
        pairs.append([f"00000/img{number:03d}.png", labels[number]])
    (folder / "dataset.json").write_text(json.dumps({"labels": pairs}))
    return folder


def write_unit_config(path: Path) -> Path:
    """UNIT as EG3D trains it: the mapping sees a camera, and no plane is free."""
    seeing = replace(UNIT, c_gen_conditioning_zero=False, static_planes=False, basis_planes=0)
    path.write_text(json.dumps(asdict(seeing)))
    return path
