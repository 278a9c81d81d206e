"""Everything that is measured of an avatar on held-out frames, in one record: the frozen figures and what stands beside."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.artifacts.avatar import Avatar
from pipelines.artifacts.dataset import Dataset
from pipelines.core.stage import Progress
from pipelines.evaluate import faces, hair_color, likeness, perceptual, regions, series
from pipelines.evaluate.faces import Faces, Find
from pipelines.evaluate.perceptual import Tool
from pipelines.evaluate.protocol import (
    PROTOCOL,
    Pictures,
    TrainingImages,
    baseline_images,
    mean_of,
    pictures,
    poses,
    render_both,
    score_rows,
    tracked_expression,
)
from pipelines.geometry.angles import yaw_pitch_deg

SCHEMA = 2
ENLARGED = "enlarged"
DEFINITIONS = {
    **regions.DEFINITIONS, **faces.DEFINITIONS, **series.DEFINITIONS, **perceptual.DEFINITIONS,
    **likeness.DEFINITIONS, **hair_color.DEFINITIONS,
    "mean": "the mean of the training frames", "retrieval": "the training frame nearest in expression and pose",
    "oracle": "the training frame with the least pixel error to the frame that is asked for",
    ENLARGED: "the generator's own picture, enlarged, without anything laid over it; where the size is not the generator's",
    "tracker": "the filmed frames at the evaluated size against the capture's own tracking: what the tracker loses by the size",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What measures beside plain arithmetic."""

    find: Find
    lpips: Tool
    st_lpips: Tool
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class EvaluatedAvatar:
    """One avatar's held-out frames as they were compared."""

    names: list[str]
    renders: np.ndarray
    """[N,S,S,3]"""
    truth: Pictures
    regions: regions.Regions
    record: dict[str, Any]


def measure_avatar(
    model: Avatar, dataset: Dataset, tools: Tools, progress: Progress, size: int | None = None
) -> EvaluatedAvatar:
    """Every figure of an avatar on the held-out frames of a capture, at `size` pixels a side (None: the generator's own)."""
    rows, size = dataset.rows("test"), size or model.image_size
    expression = tracked_expression(dataset, model)
    truth = pictures(dataset, "test", size)
    with progress.task("rendering held-out frames"):
        renders, plain = render_both(model, dataset, rows, expression, size)
    with progress.task("finding baselines"):
        own, train = poses(dataset, "test", expression), poses(dataset, "train", expression)
        sequences = {"avatar": renders, **baseline_images(truth, own, TrainingImages(dataset, size), train)}
    if size != model.image_size or not np.array_equal(plain, renders):
        sequences[ENLARGED] = plain
    scores = {name: score_rows(images, truth) for name, images in sequences.items()}
    where = regions.regions_of(dataset, rows, truth, model.prior_landmarks)
    with progress.task("comparing"):
        record = {"schema": SCHEMA, **frozen_record(scores, size), **compared(sequences, scores, truth, where, dataset, tools)}
    with progress.task("tracking renders and filmed frames"):
        found, mouths = tracked(sequences, truth, dataset, model.prior_landmarks, tools)
    record |= {**found, "definitions": DEFINITIONS, "per_frame": per_frame(dataset, rows, scores["avatar"], mouths)}
    names = [dataset.names[row] for row in rows]
    return EvaluatedAvatar(names=names, renders=renders, truth=truth, regions=where, record=record)


def frozen_record(scores: dict[str, list[dict[str, float]]], size: int) -> dict[str, Any]:
    """The record of protocol `heldout-1`."""
    found = {name: mean_of(rows) for name, rows in scores.items()}
    return {
        "protocol": PROTOCOL, "frames": len(scores["avatar"]), "image_size": size, "background": "mid gray",
        "region": "head matte", "avatar": found.pop("avatar"), "baselines": found,
    }  # fmt: skip


def compared(
    sequences: dict[str, np.ndarray], scores: dict[str, list[dict[str, float]]], truth: Pictures, where: regions.Regions,
    dataset: Dataset, tools: Tools,
) -> dict[str, Any]:  # fmt: skip
    """What is measured beside the frozen figures, pixel by pixel."""
    rows = dataset.rows("test")
    hair = where.masks["hair"]
    return {
        "regions": {**where.record(), **{name: regions.region_figures(images, truth, where)
                                         for name, images in sequences.items()}},
        "hair_color_noise": {name: hair_color.hair_color_noise(images, truth, hair) for name, images in sequences.items()},
        **measure_flicker(sequences, truth, dataset, rows),
        "yaw_bins": yaw_bins(scores, yaw_pitch_deg(dataset.world_from_camera[rows, :3, 3])[:, 0]),
        "lpips": perceptual.perceptual(tools.lpips, sequences, truth, tools.device),
        "st_lpips": perceptual.perceptual(tools.st_lpips, sequences, truth, tools.device),
    }  # fmt: skip


def measure_flicker(sequences: dict[str, np.ndarray], truth: Pictures, dataset: Dataset, rows: np.ndarray) -> dict[str, Any]:
    pairs = series.consecutive_pairs(rows, dataset.time_s[rows])
    found: dict[str, Any] = {name: series.flicker(images, truth, pairs) for name, images in sequences.items()}
    sudden = {name: series.flicker_rms(images, truth, pairs) for name, images in sequences.items()}
    if not len(pairs):
        return {"flicker": {**found, "pairs": 0, "why": "no two held-out frames follow one another."}, "flicker_rms": sudden}
    step_s = float(np.median(dataset.time_s[rows[pairs + 1]] - dataset.time_s[rows[pairs]]))
    return {"flicker": {**found, "pairs": len(pairs), "step_s": step_s}, "flicker_rms": sudden}


def yaw_bins(scores: dict[str, list[dict[str, float]]], yaw: np.ndarray) -> dict[str, Any]:
    bins = series.bin_of(yaw)
    counts = np.bincount(bins, minlength=len(series.EDGES_DEG) - 1).tolist()
    found = {name: series.by_bin(rows, bins) for name, rows in scores.items()}
    return {"edges_deg": list(series.EDGES_DEG), "frames": counts, "range_deg": [float(yaw.min()), float(yaw.max())], **found}


def tracked(
    sequences: dict[str, np.ndarray], truth: Pictures, dataset: Dataset, canonical: np.ndarray, tools: Tools
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Mouth state, AED, APD and likeness, of the avatar, the baselines and the tracker itself; and the mouth in each frame."""
    rows = dataset.rows("test")
    intrinsics, size = dataset.intrinsics[rows], truth.image.shape[1]
    real = faces.look(truth.image, tools.find, canonical, intrinsics)
    seen = {name: faces.look(images, tools.find, canonical, intrinsics) for name, images in sequences.items()}
    compared = {**seen, "tracker": captured(dataset, rows, canonical, size)}
    both = {name: (sequences[name], one) for name, one in seen.items()}
    record = {
        "mouth_state": {name: faces.mouth_state(one, real) for name, one in compared.items()},
        "tracking": {
            "filmed_found": int(real.found.sum()), **{name: faces.face_distances(one, real) for name, one in compared.items()}
        },
        "identity_distance": likeness.likeness(both, (truth.image, real), likeness.own_faces(dataset, size)),
    }  # fmt: skip
    return record, faces.mouths(seen["avatar"], real)


def captured(dataset: Dataset, rows: np.ndarray, canonical: np.ndarray, size: int) -> Faces:
    """The capture's own tracking of the held-out frames, in pixels of their crops at `size`."""
    points = dataset.tracking()["landmarks"][rows].astype(np.float64)
    there = np.isfinite(points).all((1, 2)) & (np.ptp(points[..., :2], axis=1).min(1) > 1)
    points[..., :2] -= dataset.box[rows, None, :2]
    points *= size / dataset.box[rows, None, 2:]
    known = [one if here else None for one, here in zip(points, there, strict=True)]
    return faces.measure_face(known, canonical, dataset.intrinsics[rows], size)


def per_frame(
    dataset: Dataset, rows: np.ndarray, scores: list[dict[str, float]], mouths: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What is known of each held-out frame."""
    yaw = yaw_pitch_deg(dataset.world_from_camera[rows, :3, 3])[:, 0]
    return [
        {"name": dataset.names[row], "time_s": float(dataset.time_s[row]), "yaw_deg": round(float(angle), 2), **one, **mouth}
        for row, angle, one, mouth in zip(rows, yaw, scores, mouths, strict=True)
    ]
