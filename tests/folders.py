"""Small capture and avatar folders as the stages leave them, made of drawn pictures."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.avatar_record import AvatarRecord, ExpressionRange, Origin, save_avatar_record
from pipelines.core.files import write_arrays, write_image, write_json, write_text
from pipelines.face.expression import MEASURED
from pipelines.geometry.rigid import OPENGL_FROM_OPENCV

FRONTAL = (1.0, 0, 0, 0, 0, -1.0, 0, 0, 0, 0, -1.0, 2.7, 0, 0, 0, 1.0, 2.6, 0, 0.5, 0, 2.6, 0.5, 0, 0, 1.0)
"""A camera 2.7 units before the face: pose [4,4], intrinsics [3,3]."""
NAMES = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft")


def write_capture(folder: Path, frames: int = 24, size: int = 64) -> Path:
    """A head that turns from -20 to 20 degrees before the camera, three frames dropped."""
    yaws = [math.radians(-20 + 40 * number / (frames - 1)) for number in range(frames)]
    names, times = [f"{4 * number:06d}" for number in range(frames)], [4 * number / 30 for number in range(frames)]
    poses = np.stack([opengl_pose(yaw) for yaw in yaws])
    for name, yaw in zip(names, yaws, strict=True):
        picture, matte = drawn(size, yaw)
        write_image(folder / "frames" / f"{name}.jpg", picture)
        write_image(folder / "mattes" / f"{name}.png", matte)
    transforms = [
        {"file_path": f"frames/{n}.jpg", "transform_matrix": p.tolist(), "source_index": int(n), "time_s": t}
        for n, t, p in zip(names, times, poses, strict=True)
    ]
    dropped = [{"source_index": i, "time_s": i / 30, "reason": "blurred"} for i in (1, 2)] + [
        {"source_index": 97, "time_s": 97 / 30, "reason": "no face"}
    ]
    write_json(folder / "transforms.json", {"camera_model": "PINHOLE", "frames": transforms, "dropped": dropped})
    items = [
        {"name": name, "source_index": int(name), "time_s": time, "split": "train", "weight": 1.0, "matte": 0.9,
         "matte_box": [0.0, 0.0, 1.0]} for name, time in zip(names, times, strict=True)
    ]  # fmt: skip
    write_json(folder / "dataset.json", {"schema": 2, "frame_size": [size, size], "focal_px": 3.2 * size, "items": items})
    write_arrays(
        folder / "tracking.npz", landmarks=np.zeros((frames, 478, 3)), expression_measured=np.zeros((frames, len(MEASURED))),
        camera_from_head=np.linalg.inv(poses @ OPENGL_FROM_OPENCV),
    )  # fmt: skip
    write_json(folder / "capture.json", CAPTURE)
    write_image(folder / "contact.png", np.concatenate([drawn(size, yaw)[0] for yaw in (-0.3, 0.0, 0.3)], axis=1))
    write_json(folder / "stage.json", record("capture", {"frames": 3.1, "cameras": 22.5, "mattes": 4.0}))
    return folder


def write_avatar(folder: Path) -> Path:
    rows = [
        f'{{"step": {s}, "seconds": {s / 5}, "photometric": {0.4 / (1 + s / 50):.4f}, "r1": {0.1 + s / 900:.3f}}}'
        for s in range(0, 400, 10)
    ]
    write_text(folder / "train_log.jsonl", "\n".join(rows) + "\n")
    write_json(folder / "metrics.json", METRICS)
    write_json(folder / "plan.json", {"steps": 400, "pairs": 200, "threads": 2, "why": "given"})
    values = {"low": (0.0, 0.1, 0.1, 0.0), "neutral": (0.05, 0.2, 0.2, 0.1), "high": (0.6, 0.8, 0.7, 0.9)}
    known = AvatarRecord(
        family="eg3d", config={}, image_size=128, frontal_camera=FRONTAL, expression=ExpressionRange(
            space="measured", names=NAMES, **values), capture=Origin(name="anna.capture", fingerprint="c" * 64),
    )  # fmt: skip
    save_avatar_record(folder, known)
    write_image(folder / "samples" / "heldout.png", np.concatenate([drawn(64, yaw)[0] for yaw in (-0.3, 0.0, 0.3)], axis=1))
    write_json(
        folder / "stage.json", {**record("train", {"plan": 1.0, "appearance": 80.0}), "warnings": ["the mouth opens < little"]}
    )
    return folder


def record(stage: str, seconds: dict[str, float]) -> dict[str, Any]:
    return {
        "schema": 1, "stage": stage, "version": 1, "fingerprint": "f" * 64, "settings": {"seed": 0}, "seconds": seconds,
        "figures": {}, "warnings": [],
    }  # fmt: skip


def opengl_pose(yaw: float, distance: float = 0.864) -> np.ndarray:
    """Camera-to-world (x right, y up, z back) of a camera that looks at the origin from `yaw`, radians, and `distance`, m."""
    back = np.array([math.sin(yaw), 0, math.cos(yaw)])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([np.array([math.cos(yaw), 0, -math.sin(yaw)]), np.array([0, 1, 0]), back], axis=1)
    pose[:3, 3] = distance * back
    return pose


def drawn(size: int, yaw: float) -> tuple[np.ndarray, np.ndarray]:
    """A face-colored ellipse with two eyes, and its matte."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    matte = ((x / 0.3) ** 2 + (y / 0.4) ** 2 < 1) * 255
    image = np.where(matte[..., None] > 0, np.array([214, 170, 140]), np.array([90, 120, 100]))
    for side in (-0.12, 0.12):
        image[(x - side - 0.2 * yaw) ** 2 + (y + 0.08) ** 2 < 0.001] = 30
    return image.astype(np.uint8), matte.astype(np.uint8)


CAPTURE: dict[str, Any] = {
    "schema": 2,
    "source": {"sha256": "ab" * 32, "file_name": "anna.mp4", "width": 640, "height": 480, "rate_hz": 30.0, "duration_s": 3.3},
    "camera": {
        "method": "landmark_pose",
        "why": "COLMAP registered 9 of 24 frames, so the poses from landmarks are used.",
        "candidates": [
            {"method": "landmark_pose", "registered": 24},
            {"method": "colmap_scene", "registered": 9, "focal_px": 612.0},
        ],
        "focal_px": 800.0,
    },
    "alignment": {"scale": 0.031, "rms_m": 0.006, "rotation_deg": 1.5},
    "settings": {"frames": {"max_frames": 24}},
}
METRICS: dict[str, Any] = {
    "protocol": "heldout-1",
    "frames": 12,
    "image_size": 128,
    "avatar": {"psnr_full": 26.6, "psnr_head": 24.2, "ssim_full": 0.9, "ssim_head": 0.8, "sharpness_head": 0.77},
    "baselines": {
        "mean": {"psnr_full": 25.3, "psnr_head": 21.8, "ssim_full": 0.85, "ssim_head": 0.7, "sharpness_head": 0.59},
        "retrieval": {"psnr_full": 28.4, "psnr_head": 23.9, "ssim_full": 0.9, "ssim_head": 0.8, "sharpness_head": 1.02},
        "oracle": {"psnr_full": 30.0, "psnr_head": 25.4, "ssim_full": 0.9, "ssim_head": 0.8, "sharpness_head": 1.02},
    },
}
