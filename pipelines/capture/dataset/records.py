"""The JSON and npz files at the top of a capture folder; their forms are other programs' interface."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import __version__
from pipelines.artifacts.capture_record import SCHEMA
from pipelines.capture.cameras.candidate import Candidate
from pipelines.capture.dataset.alignment import Alignment
from pipelines.capture.footage.source import Footage
from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.core.files import write_arrays, write_json
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import measure_expression
from pipelines.geometry.rigid import OPENGL_FROM_OPENCV


@dataclass(frozen=True, kw_only=True)
class DatasetSettings:
    held_out: float = 0.15
    """Share of the filmed time, at its end, that is kept for testing."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise ValueError("held_out must be a share from 0 to less than 1")


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The frames of a capture: a row a frame, in the order of time."""

    scan: Scan
    camera_from_head: np.ndarray
    """[N,4,4] m, OpenCV axes."""
    focal_px: float
    frame_size: tuple[int, int]
    camera_confidence: np.ndarray
    """[N] in 0..1, of the camera and of the landmarks that agree."""
    matte_confidence: np.ndarray
    """[N] in 0..1."""
    weight: np.ndarray
    """[N] in 0..1, both of them: how much a frame counts in training."""
    matte_box: np.ndarray
    """[N,3] x0, y0 of the stored matte in px of the frame, and the width of its pixels."""

    @property
    def names(self) -> list[str]:
        return [frame_name(index) for index in self.scan.index]


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


def write_dataset(partial: Path, footage: Footage, kept: Kept, settings: DatasetSettings) -> dict[str, Any]:
    """dataset.json: the frames with their weights, confidence and places of mattes, and the split."""
    scan = kept.scan
    kinds, rule = split_of(footage, scan, settings.held_out)
    items = [
        {
            "name": name, "source_index": int(scan.index[row]), "time_s": round(float(scan.time_s[row]), 6),
            "split": str(kinds[row]), "weight": round(float(kept.weight[row]), 4),
            "matte": round(float(kept.matte_confidence[row]), 3), "matte_box": kept.matte_box[row].tolist(),
        }
        for row, name in enumerate(kept.names)
    ]  # fmt: skip
    record = {
        "schema": SCHEMA, "frame_size": list(kept.frame_size), "focal_px": kept.focal_px, "items": items, "split": rule,
    }  # fmt: skip
    write_json(partial / "dataset.json", record)
    return {"train": int((kinds == "train").sum()), "test": int((kinds == "test").sum())}


def split_of(footage: Footage, scan: Scan, held_out: float) -> tuple[np.ndarray, dict[str, Any]]:
    """The split of every frame, and how it was made."""
    if footage.kind != "video":
        rule = {"rule": f"every {max(2, round(1 / max(held_out, 1e-6)))}th picture"}
        return split_stills(len(scan.index), held_out), rule
    kinds, starts = split(scan.time_s, held_out, footage.clip_of(scan.index))
    of_each = " of each clip" if len(starts) > 1 else ""
    rule: dict[str, Any] = {"rule": f"last {held_out:.0%} by time{of_each}", "from_s": round(starts[0], 6)}
    return kinds, rule | ({"from_s_of_clips": [round(start, 6) for start in starts]} if len(starts) > 1 else {})


def write_transforms(partial: Path, kept: Kept, dropped: list[dict[str, Any]]) -> None:
    """transforms.json of the NeRF tools: camera-to-world with x right, y up, z back; the world is the metric head frame."""
    (width, height), scan = kept.frame_size, kept.scan
    intrinsics = {"fl_x": kept.focal_px, "fl_y": kept.focal_px, "cx": width / 2, "cy": height / 2}
    poses = np.linalg.inv(kept.camera_from_head) @ OPENGL_FROM_OPENCV
    frames = [
        {
            "file_path": f"frames/{name}.jpg", "transform_matrix": poses[row].tolist(),
            "source_index": int(scan.index[row]), "time_s": round(float(scan.time_s[row]), 6), "w": width, "h": height,
            **intrinsics, "confidence": round(float(kept.camera_confidence[row]), 4),
        }
        for row, name in enumerate(kept.names)
    ]  # fmt: skip
    record = {"camera_model": "PINHOLE", "w": width, "h": height, **intrinsics, "frames": frames, "dropped": dropped}
    write_json(partial / "transforms.json", record)


def write_tracking(partial: Path, kept: Kept) -> None:
    """tracking.npz: landmarks, expression against the canonical head, and pose (m), a row a frame of the dataset."""
    measured = np.stack([measure_expression(points, canonical_landmarks()) for points in kept.scan.points])
    write_arrays(
        partial / "tracking.npz", landmarks=kept.scan.points.astype(np.float32), expression_measured=measured,
        camera_from_head=kept.camera_from_head,
    )  # fmt: skip


def write_capture(
    partial: Path, footage: Footage, camera: dict[str, Any], solved: Candidate, aligned: Alignment, extra: dict[str, Any],
    settings: Any,
) -> None:  # fmt: skip
    """capture.json: where the footage, the cameras and the head frame come from. No path, no user.

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
        "camera": {
            "method": solved.method, "why": camera["why"], "candidates": camera["candidates"], "focal_px": solved.focal_px,
            "k1_undone": solved.k1,
            "registered": float(np.mean(solved.confidence > 0)), "median_error_px": float(np.median(solved.error_px)),
        },
        "alignment": {
            "scale": aligned.scale, "rms_m": aligned.rms_m, "translation_m": aligned.shift.tolist(),
            "rotation_deg": Rotation.from_matrix(aligned.rotation).as_rotvec(degrees=True).tolist(),
        },
        **extra,
        "settings": asdict(settings),
    }  # fmt: skip
    write_json(partial / "capture.json", record)
