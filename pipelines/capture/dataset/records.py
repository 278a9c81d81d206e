"""The JSON and npz files at the top of a capture folder; their forms are other programs' interface."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import __version__
from pipelines.artifacts.prior import Prior
from pipelines.capture.cameras.candidate import Candidate
from pipelines.capture.dataset.alignment import Alignment
from pipelines.capture.dataset.crops import Crops, DatasetSettings
from pipelines.capture.footage.source import Footage
from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.core.files import write_arrays, write_json
from pipelines.face.expression import measure_expression
from pipelines.geometry.rigid import OPENGL_FROM_OPENCV

SCHEMA = 1


def split(time_s: np.ndarray, held_out: float, clip: np.ndarray | None = None) -> tuple[np.ndarray, list[float]]:
    """`train` or `test` per frame, test being the last share of the time of each clip; and the times it starts."""
    clip = np.zeros(len(time_s), int) if clip is None else clip
    kinds, starts = np.full(len(time_s), "train", "<U5"), []
    for number in np.unique(clip):
        own = np.flatnonzero(clip == number)
        start = float(time_s[own[0]] + (1 - held_out) * (time_s[own[-1]] - time_s[own[0]]))
        kinds[own[time_s[own] > start]] = "test"
        starts.append(start)
    return kinds, starts


def split_stills(count: int, held_out: float) -> np.ndarray:
    """`train` or `test` per picture, test being every n-th, as pictures in order of their names may show one side each."""
    every = max(2, round(1 / max(held_out, 1e-6)))
    return np.where(np.arange(count) % every == every // 2, "test", "train")


def write_dataset(
    partial: Path,
    footage: Footage,
    chosen: Scan,
    crops: Crops,
    weight: np.ndarray,
    matted: np.ndarray,
    settings: DatasetSettings,
) -> dict[str, Any]:
    """dataset.json: crops with 25 camera numbers each (EG3D's label), weights, confidence of mattes, boxes and the split."""
    clip = footage.clip_of(chosen.index)
    if footage.kind == "video":
        kinds, starts = split(chosen.time_s, settings.held_out, clip)
        of_each = " of each clip" if len(starts) > 1 else ""
        rule = {"rule": f"last {settings.held_out:.0%} by time{of_each}", "from_s": round(starts[0], 6)}
        rule |= {"from_s_of_clips": [round(start, 6) for start in starts]} if len(starts) > 1 else {}
    else:
        kinds = split_stills(len(chosen.index), settings.held_out)
        rule = {"rule": f"every {max(2, round(1 / max(settings.held_out, 1e-6)))}th picture"}
    names = [frame_name(index) for index in chosen.index]
    flat = np.concatenate([crops.world_from_camera.reshape(-1, 16), crops.intrinsics.reshape(-1, 9)], axis=1)
    items = [
        {
            "name": name, "source_index": int(chosen.index[row]), "time_s": round(float(chosen.time_s[row]), 6),
            "split": str(kinds[row]), "weight": round(float(weight[row]), 4), "matte": round(float(matted[row]), 3),
            "box": crops.box[row].tolist(),
        }
        for row, name in enumerate(names)
    ]  # fmt: skip
    record = {
        "schema": SCHEMA, "crop_size": settings.crop_size, "frame_size": list(crops.frame_size),
        "labels": [[f"crops/{name}.png", flat[row].tolist()] for row, name in enumerate(names)], "items": items,
        "split": rule,
    }  # fmt: skip
    write_json(partial / "dataset.json", record)
    return {"train": int((kinds == "train").sum()), "test": int((kinds == "test").sum())}


def write_transforms(partial: Path, chosen: Scan, crops: Crops, confidence: np.ndarray, dropped: list[dict[str, Any]]) -> None:
    """transforms.json of the NeRF tools: camera-to-world with x right, y up, z back; the world is the head space."""
    width, height = crops.frame_size
    intrinsics = {"fl_x": crops.focal_px, "fl_y": crops.focal_px, "cx": width / 2, "cy": height / 2}
    poses = crops.world_from_camera @ OPENGL_FROM_OPENCV
    frames = [
        {
            "file_path": f"frames/{frame_name(chosen.index[row])}.jpg", "transform_matrix": poses[row].tolist(),
            "source_index": int(chosen.index[row]), "time_s": round(float(chosen.time_s[row]), 6), "w": width, "h": height,
            **intrinsics, "confidence": round(float(confidence[row]), 4),
        }
        for row in range(len(chosen.index))
    ]  # fmt: skip
    record = {"camera_model": "PINHOLE", "w": width, "h": height, **intrinsics, "frames": frames, "dropped": dropped}
    write_json(partial / "transforms.json", record)


def write_tracking(partial: Path, chosen: Scan, crops: Crops, prior: Prior) -> None:
    """tracking.npz: landmarks, measured expression and pose, a row a frame of the dataset."""
    measured = np.stack([measure_expression(points, prior.landmarks) for points in chosen.points])
    write_arrays(
        partial / "tracking.npz", landmarks=chosen.points.astype(np.float32), expression_measured=measured,
        camera_from_head=crops.camera_from_head,
    )  # fmt: skip


def write_capture(
    partial: Path, footage: Footage, prior: Prior, camera: dict[str, Any], solved: Candidate, aligned: Alignment,
    extra: dict[str, Any], settings: Any,
) -> None:  # fmt: skip
    """capture.json: where the footage, the cameras and the head space come from. No path, no user.

    `source` is the first file, `sources` are all of them; `extra` holds what else is to be known of the tracking.
    """
    from scipy.spatial.transform import Rotation

    info, sources = footage.info, footage.sources
    source = {
        "sha256": info.sha256, "file_name": info.path.name, "width": info.width, "height": info.height,
        "rate_hz": info.rate_hz, "duration_s": info.duration_s, "frames": info.frames, "transfer": info.transfer,
    }  # fmt: skip
    record = {
        "schema": SCHEMA, "tool_version": __version__, "kind": footage.kind, "source": source, "sources": sources,
        "prior": {"name": prior.name, "sha256": prior.sha256},
        "camera": {
            "method": solved.method, "why": camera["why"], "candidates": camera["candidates"], "focal_px": solved.focal_px,
            "k1_undone": solved.k1,
            "registered": float(np.mean(solved.confidence > 0)), "median_error_px": float(np.median(solved.error_px)),
        },
        "alignment": {
            "scale": aligned.scale, "rms_units": aligned.rms_units, "translation": aligned.shift.tolist(),
            "rotation_deg": Rotation.from_matrix(aligned.rotation).as_rotvec(degrees=True).tolist(),
        },
        **extra,
        "settings": asdict(settings),
    }  # fmt: skip
    write_json(partial / "capture.json", record)
