"""The demo's clips of two people who do not exist, and how a result made of them is scored against their truth.

The capture clip is a still head before a moving camera, the driver a turning head before a still camera. Beside each clip lies
its truth: cameras or head poses, expression weights by ARKit name, gaze, intrinsics.
"""

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, read_json
from pipelines.core.stage import Progress
from pipelines.drive.motion.follow_check import follow_check
from pipelines.face.track import Track
from pipelines.geometry.angles import rotation_angle_deg
from pipelines.geometry.rigid import OPENGL_FROM_OPENCV, nearest_rotation

SCHEMA = 1
GOALS = {"rotation_deg": 2.0, "jaw": 0.5}
"""The camera's median error is to stay below, the jaw's correlation above."""


class Clips(NamedTuple):
    """The packaged videos; the truth of `x.mp4` is `x.truth.json` beside it."""

    capture: Path
    driver: Path


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a rendered clip shows, a row a frame."""

    names: tuple[str, ...]
    """The ARKit shapes of `weights`."""
    rate_hz: float
    times_s: np.ndarray
    weights: np.ndarray
    """[T,E] in 0..1."""
    camera_from_head: np.ndarray
    """[T,4,4], OpenCV axes, head units."""

    @property
    def world_from_camera(self) -> np.ndarray:
        """[T,4,4] with the head as the world."""
        return np.linalg.inv(self.camera_from_head)

    def as_track(self) -> Track:
        """The truth in the place of what a tracker finds."""
        return Track(
            space="truth", names=self.names, rate_hz=self.rate_hz, times_s=self.times_s, expression=self.weights,
            world_from_head=self.camera_from_head, confidence=np.ones(len(self.times_s)),
            valid=np.ones(len(self.times_s), bool),
        )  # fmt: skip


def demo_clips() -> Clips:
    """The capture and the driver that come with the package; UnusableMaterial when the installation lacks them."""
    folder = Path(str(resources.files("avatarcli") / "demo_clips"))
    clips = Clips(folder / "capture.mp4", folder / "driver.mp4")
    for path in (*clips, *map(truth_path, clips)):
        if not path.is_file():
            raise UnusableMaterial(f"{path} is missing from this installation; install avatarcli again.")
    return clips


def truth_path(clip: Path) -> Path:
    return clip.with_suffix(".truth.json")


def load_truth(path: Path) -> Truth:
    """The truth in a JSON file; UnusableMaterial when it is missing or of another schema."""
    record = read_json(path)
    if record.get("schema") != SCHEMA:
        raise UnusableMaterial(f"{path} has schema {record.get('schema')}; this version reads {SCHEMA}.")
    names, frames = tuple(record["names"]), record["frames"]
    weights = [[frame["weights"].get(name, 0.0) for name in names] for frame in frames]
    return Truth(
        names=names, rate_hz=float(record["rate_hz"]), times_s=np.array([frame["time_s"] for frame in frames]),
        weights=np.array(weights, np.float32), camera_from_head=np.stack([_camera_from_head(frame) for frame in frames]),
    )  # fmt: skip


def _camera_from_head(frame: dict[str, Any]) -> np.ndarray:
    if "camera_from_head" in frame:
        return np.array(frame["camera_from_head"])
    return np.linalg.inv(np.array(frame["world_from_camera"]))


def score_demo(capture: Path, avatar: Path, driven: Path, clips: Clips, progress: Progress) -> dict[str, Any]:
    """How near a result comes to the truth of its clips: `camera`, `follows`, `held_out`, and whether it `passed`.

    `follows` has the correlations of the driver's true weights with what the tracker reads in the driven video, `held_out` the
    avatar's and the mean frame's PSNR inside the head (dB) and the avatar's over the run, as far as the training noted it.
    """
    seen = camera_error(*capture_poses(capture), load_truth(truth_path(clips.capture)))
    landmarks = read_arrays(avatar / "landmarks.npz")["landmarks"]
    follows = follow_check(driven, load_truth(truth_path(clips.driver)).as_track(), landmarks, progress)
    passed = {
        "camera": seen["rotation_deg"] <= GOALS["rotation_deg"],
        "jaw": follows["jawOpen"] is not None and follows["jawOpen"] >= GOALS["jaw"],
    }
    return {"camera": seen, "follows": follows, "held_out": held_out(avatar), "goals": GOALS, "passed": passed}


def capture_poses(capture: Path) -> tuple[np.ndarray, np.ndarray]:
    """source_index [N] and world_from_camera [N,4,4] (OpenCV axes) from a capture's transforms.json."""
    frames = read_json(capture / "transforms.json", f"avatarcli capture VIDEO -o {capture.name}")["frames"]
    poses = np.array([frame["transform_matrix"] for frame in frames], np.float64) @ OPENGL_FROM_OPENCV
    return np.array([frame["source_index"] for frame in frames]), poses


def camera_error(source_index: np.ndarray, world_from_camera: np.ndarray, truth: Truth) -> dict[str, float]:
    """Medians over frames after the best similarity of one world onto the other.

    `rotation_deg` is the angle between the orientations, `position_percent` the distance of the centers over the camera's
    distance from the head. The rotation of the similarity is the chordal mean of R_true R_found^T; its scale and shift lay the
    centers over each other by least squares. Frames far off count less (the medians are of a robust alignment).
    """
    true = truth.world_from_camera[source_index]
    weight = np.ones(len(true))
    for _ in range(5):
        moved = moved_poses(world_from_camera, true, weight)
        angle = rotation_angle_deg(moved[:, :3, :3], true[:, :3, :3])
        distance = np.linalg.norm(moved[:, :3, 3] - true[:, :3, 3], axis=1) / np.linalg.norm(true[:, :3, 3], axis=1)
        weight = 1 / (1 + (angle / max(2 * np.median(angle), 1e-6)) ** 2)
    return {
        "frames": len(true), "rotation_deg": float(np.median(angle)), "rotation_deg_90": float(np.percentile(angle, 90)),
        "position_percent": 100 * float(np.median(distance)),
    }  # fmt: skip


def moved_poses(poses: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`poses` [N,4,4] after the similarity onto `target`: R_i -> Q R_i, c_i -> s Q c_i + shift."""
    share = weight / weight.sum()
    turn = nearest_rotation(np.einsum("n,nij,nkj->ik", share, target[:, :3, :3], poses[:, :3, :3]))
    centers, goal = poses[:, :3, 3] @ turn.T, target[:, :3, 3]
    a, b = centers - share @ centers, goal - share @ goal
    scale = float((share[:, None] * a * b).sum() / max((share[:, None] * a * a).sum(), 1e-12))
    moved = poses.copy()
    moved[:, :3, :3] = turn @ poses[:, :3, :3]
    moved[:, :3, 3] = scale * a + share @ goal
    return moved


def held_out(avatar: Path) -> dict[str, Any]:
    """PSNR in dB on held-out frames: `head`, `full`, `mean_frame_head`, and `over_run` (head, in the order of the steps)."""
    metrics = read_json(avatar / "metrics.json", f"avatarcli train CAPTURE -o {avatar.name}")
    log = avatar / "train_log.jsonl"
    rows = [json.loads(line) for line in log.read_text().splitlines() if line.endswith("}")] if log.exists() else []
    return {
        "head": metrics["avatar"]["psnr_head"], "full": metrics["avatar"]["psnr_full"],
        "mean_frame_head": metrics["baselines"]["mean"]["psnr_head"],
        "over_run": [row["heldout_psnr_head"] for row in rows if "heldout_psnr_head" in row],
    }  # fmt: skip
