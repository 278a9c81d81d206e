"""A textured head-like solid with known cameras and mattes, written as a capture folder: exact truth for small trainings."""

import math
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from models.eg3d.config import UNIT
from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.dataset_view import view_of
from pipelines.artifacts.prior import Prior, load_prior
from pipelines.core.files import read_json, write_arrays, write_image, write_json
from pipelines.face.expression import space_names

RADII = np.array([0.24, 0.32, 0.27])


def render_solid(world_from_camera: np.ndarray, focal: float, size: int, mouth: float) -> tuple[np.ndarray, np.ndarray]:
    """uint8 RGB [size,size,3] and matte [size,size] of an ellipsoid with eyes, stripes and a mouth open by `mouth` in 0..1."""
    grid = ((np.arange(size) + 0.5) / size - 0.5) / focal
    x, y = np.meshgrid(grid, grid)
    directions = np.stack([x, y, np.ones_like(x)], -1) @ world_from_camera[:3, :3].T
    origin, scaled = world_from_camera[:3, 3] / RADII, directions / RADII
    a, b, c = (scaled**2).sum(-1), (scaled * origin).sum(-1), (origin**2).sum() - 1
    root = b**2 - a * c
    depth = (-b - np.sqrt(np.maximum(root, 0))) / a
    points = (world_from_camera[:3, 3] + depth[..., None] * directions) / RADII
    return _painted(points, root > 0, mouth), ((root > 0) * 255).astype(np.uint8)


def _painted(points: np.ndarray, hit: np.ndarray, mouth: float) -> np.ndarray:
    across, up, out = np.moveaxis(points, -1, 0)
    color = np.stack([0.75 + 0.1 * np.sin(9 * up), 0.55 + 0.2 * across, 0.45 + 0.1 * out], -1)
    color[(up > 0.45) | (out < -0.2)] = (0.25, 0.18, 0.12)
    for side in (-0.35, 0.35):
        color[((across - side) ** 2 + (up - 0.15) ** 2 < 0.012) & (out > 0)] = (0.1, 0.1, 0.2)
    color[(across / 0.35) ** 2 + ((up + 0.45) / (0.05 + 0.2 * mouth)) ** 2 < np.where(out > 0, 1, 0)] = (0.35, 0.05, 0.08)
    return (np.where(hit[..., None], color, 0.5) * 255).round().astype(np.uint8)


def write_solid_capture(
    folder: Path, frames: int = 20, focal: float = 3.4, opening: float = 1.0, begins: float = 0.0, fingerprint: str = "a" * 64
) -> Path:
    """A capture folder as `pipelines.capture` leaves it: the solid turns and opens its mouth; the last 15 % are held out.

    `opening` is the widest mouth; `begins` the angle at which its three rounds begin, at 0 it is hardly open at the end. The
    shipped prior's crops of it are 80 of the 100 pixels of a frame, with the focal length `focal` over their side.
    """
    frame, items, poses, mouths = load_prior("quick").frame, [], [], []
    for number in range(frames):
        phase, name = number / frames, f"{3 * number:06d}"
        pose = _orbit(0.35 * math.sin(2 * math.pi * phase), 0.1 * math.cos(4 * math.pi * phase), focal * frame.crop_extent)
        mouth = opening * (0.5 + 0.5 * math.sin(6 * math.pi * phase + begins))
        image, matte = render_solid(pose, 0.8 * focal, 100, mouth)
        write_image(folder / "frames" / f"{name}.jpg", image, quality=100)
        write_image(folder / "mattes" / f"{name}.png", matte)
        split = "test" if number >= 0.85 * frames else "train"
        items.append(
            {"name": name, "source_index": 3 * number, "time_s": number / 10, "split": split, "weight": 1.0,
             "matte_box": [0.0, 0.0, 1.0]}
        )  # fmt: skip
        poses.append(np.linalg.inv(pose))
        poses[-1][:3, 3] /= frame.scale
        mouths.append(mouth)
    write_json(folder / "dataset.json", {"schema": 2, "frame_size": [100, 100], "focal_px": 80 * focal, "items": items})
    names = space_names("measured")
    expression = np.zeros((frames, len(names)), np.float32)
    expression[:, names.index("jawOpen")] = mouths
    landmarks = np.zeros((frames, 478, 3), np.float32)
    write_arrays(folder / "tracking.npz", landmarks=landmarks, expression_measured=expression, camera_from_head=np.stack(poses))
    write_json(folder / "capture.json", {"schema": 2})
    write_json(folder / "stage.json", {"schema": 1, "stage": "capture", "version": 1, "fingerprint": fingerprint,
                                       "settings": {}, "seconds": {}, "figures": {}, "warnings": []})  # fmt: skip
    return folder


def as_schema_1(capture: Path, prior: Prior, size: int = 128) -> Path:
    """The capture turned into what earlier versions left: crops, mattes, heads and labels for one prior, no frames."""
    view, record = view_of(capture, prior.frame, cached=False), read_json(capture / "dataset.json")
    rows, labels = np.arange(len(view.names)), []
    pictures = {
        "crops": view.images(rows, size),
        "mattes": view.person_mattes(rows, size),
        "heads": view.head_mattes(rows, size),
    }
    shutil.rmtree(capture / "mattes")
    for kind, images in pictures.items():
        for name, image in zip(view.names, images, strict=True):
            write_image(capture / kind / f"{name}.png", image)
    for row, item in enumerate(record["items"]):
        label = np.concatenate([view.world_from_camera[row].ravel(), view.intrinsics[row].ravel()])
        labels.append([f"crops/{item['name']}.png", label.tolist()])
        item["box"] = view.box[row].tolist()
        del item["matte_box"]
    items = {"items": record["items"], "labels": labels}
    write_json(capture / "dataset.json", {"schema": 1, "crop_size": size, "frame_size": record["frame_size"], **items})
    write_json(capture / "capture.json", {"schema": 1, "prior": {"name": prior.name, "sha256": prior.sha256}})
    return capture


def quick_view(capture: Path) -> Dataset:
    """The capture in the head frame of the shipped prior."""
    return view_of(capture, load_prior("quick").frame)


def write_unit_prior(folder: Path) -> Path:
    """A prior folder with the smallest network and no weights, in the head space of the shipped prior."""
    quick = load_prior("quick")
    write_arrays(folder / "landmarks.npz", landmarks=quick.landmarks)
    write_json(
        folder / "prior.json",
        {
            "schema": 1, "name": "unit", "family": "eg3d", "config": asdict(UNIT), "meters_per_unit": quick.meters_per_unit,
            "crop_extent": quick.crop_extent, "license": "Apache-2.0", "origin": "tests", "weights_sha256": None,
        },
    )  # fmt: skip
    return folder


def _orbit(yaw: float, pitch: float, distance: float) -> np.ndarray:
    """world_from_camera, OpenCV axes, of a camera that looks at the origin."""
    out = np.array([math.sin(yaw) * math.cos(pitch), math.sin(pitch), math.cos(yaw) * math.cos(pitch)])
    right = np.cross([0.0, 1.0, 0.0], out)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, -np.cross(out, right), -out], axis=1)
    pose[:3, 3] = distance * out
    return pose
