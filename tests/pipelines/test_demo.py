"""The demo's score: truth against results made of it on purpose, right and wrong by known amounts."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import write_json
from pipelines.demo import (
    Clips,
    camera_error,
    capture_poses,
    demo_clips,
    held_out,
    load_truth,
    score_demo,
    truth_path,
)
from pipelines.face.expression import ARKIT_52
from pipelines.media.video import probe
from tests.folders import write_avatar

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])


@pytest.fixture(scope="module")
def clips() -> Clips:
    return demo_clips()


def write_poses(folder: Path, index: np.ndarray, poses: np.ndarray) -> Path:
    rows = [
        {"source_index": int(i), "transform_matrix": (pose @ OPENGL).tolist()} for i, pose in zip(index, poses, strict=True)
    ]
    write_json(folder / "transforms.json", {"frames": rows})
    return folder


@pytest.mark.parametrize("name", Clips._fields)
def test_a_clip_is_small_and_its_truth_has_a_row_a_frame(clips: Clips, name: str) -> None:
    clip = getattr(clips, name)
    info, truth = probe(clip), load_truth(truth_path(clip))
    assert clip.stat().st_size <= 3_000_000
    assert len(truth.times_s) == info.frames and truth.rate_hz == info.rate_hz
    assert set(truth.names) <= set(ARKIT_52)
    assert truth.weights.min() >= 0 and truth.weights.max() <= 1
    spans = dict(zip(truth.names, np.ptp(truth.weights, axis=0), strict=True))
    assert all(spans[shape] > 0.5 for shape in ("jawOpen", "eyeBlinkLeft", "mouthSmileLeft", "browInnerUp", "mouthPucker"))
    rotation = truth.camera_from_head[:, :3, :3]
    assert np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3), atol=1e-4)
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-4)


def test_the_capture_sweeps_widely_first_and_its_held_out_end_has_expressions(clips: Clips) -> None:
    truth = load_truth(truth_path(clips.capture))
    x, _, z = truth.world_from_camera[:, :3, 3].T
    yaw, late = np.degrees(np.arctan2(x, z)), truth.times_s > 0.85 * truth.times_s[-1]
    assert yaw.min() < -45 and yaw.max() > 45
    assert np.abs(yaw[late]).max() < 12 and np.ptp(yaw[late]) > 5
    late_weights = dict(zip(truth.names, truth.weights[late].max(0), strict=True))
    assert min(late_weights[shape] for shape in ("jawOpen", "eyeBlinkLeft", "mouthSmileLeft", "browInnerUp")) > 0.4


def test_poses_read_from_a_capture_are_the_truth_again_whatever_its_world(clips: Clips, tmp_path: Path) -> None:
    """Another origin, orientation and unit of the world change nothing; position is relative to the head's distance."""
    truth = load_truth(truth_path(clips.capture))
    index, turn = np.arange(3, 480, 7), Rotation.from_rotvec([0.3, -1.1, 0.5]).as_matrix()
    poses = truth.world_from_camera[index]
    poses[:, :3, 3] = 2.5 * poses[:, :3, 3] @ turn.T + np.array([1.0, -2.0, 0.5])
    poses[:, :3, :3] = turn @ poses[:, :3, :3]
    found = camera_error(*capture_poses(write_poses(tmp_path, index, poses)), truth)
    assert found["frames"] == len(index)
    assert found["rotation_deg"] < 1e-3 and found["position_percent"] < 1e-3


def test_the_camera_error_is_the_angle_that_was_put_in(clips: Clips) -> None:
    """Each camera turned by 1.5 degrees about its own random axis; a tenth of the frames are far off."""
    truth = load_truth(truth_path(clips.capture))
    index, random = np.arange(0, 500, 5), np.random.default_rng(0)
    axes = random.standard_normal((len(index), 3))
    size = np.where(np.arange(len(index)) % 10 == 0, 40.0, 1.5)
    wrong = Rotation.from_rotvec(np.radians(size)[:, None] * axes / np.linalg.norm(axes, axis=1, keepdims=True)).as_matrix()
    poses = truth.world_from_camera[index]
    poses[:, :3, :3] = poses[:, :3, :3] @ wrong
    assert camera_error(index, poses, truth)["rotation_deg"] == pytest.approx(1.5, abs=0.15)


def test_a_mirrored_world_is_no_small_error(clips: Clips) -> None:
    truth = load_truth(truth_path(clips.capture))
    index, mirror = np.arange(0, 500, 10), np.diag([-1.0, 1.0, 1.0])
    poses = truth.world_from_camera[index]
    poses[:, :3, 3] = poses[:, :3, 3] @ mirror
    poses[:, :3, :3] = mirror @ poses[:, :3, :3] @ mirror
    assert camera_error(index, poses, truth)["rotation_deg"] > 2


def test_held_out_figures_come_from_the_avatar(tmp_path: Path) -> None:
    avatar = write_avatar(tmp_path / "anna.avatar")
    with (avatar / "train_log.jsonl").open("a") as log:
        for value in (20.5, 22.0):
            log.write(json.dumps({"step": 400, "heldout_psnr_head": value}) + "\n")
    assert held_out(avatar) == {"head": 24.2, "full": 26.6, "mean_frame_head": 21.8, "over_run": [20.5, 22.0]}


@pytest.mark.slow
def test_the_driver_itself_would_be_a_perfect_result(clips: Clips, tmp_path: Path) -> None:
    """The true cameras and the driver's own video in the place of a render: the tracker follows jaw and lids above 0.9."""
    from pipelines.artifacts.prior import load_prior
    from pipelines.core.files import write_arrays
    from pipelines.core.stage import Silent

    truth = load_truth(truth_path(clips.capture))
    capture = write_poses(tmp_path / "anna.capture", np.arange(500), truth.world_from_camera)
    avatar = write_avatar(tmp_path / "anna.avatar")
    write_arrays(avatar / "landmarks.npz", landmarks=load_prior("quick").landmarks)
    score = score_demo(capture, avatar, clips.driver, clips, Silent())
    assert score["passed"] == {"camera": True, "jaw": True}
    assert score["follows"]["face_seen"] == 1.0
    assert score["follows"]["jawOpen"] > 0.9 and score["follows"]["eyeBlink"] > 0.85


def test_a_truth_of_another_schema_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "capture.truth.json", {"schema": 9})
    with pytest.raises(UnusableMaterial, match="schema 9"):
        load_truth(tmp_path / "capture.truth.json")
