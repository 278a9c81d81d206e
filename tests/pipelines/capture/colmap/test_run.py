"""The tests that tell a right model from a confident wrong one, and one small real reconstruction."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.capture.cameras.candidate import CameraSettings, Candidate
from pipelines.capture.cameras.landmark_cameras import rigid_px
from pipelines.capture.colmap import acceptance, run
from pipelines.capture.colmap.acceptance import Model, disagreement_deg, look_at, triangulate
from pipelines.capture.colmap.budget import SPENT
from pipelines.capture.colmap.run import Failed, OutOfTime
from pipelines.capture.footage.lens import Lens
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import RIGID
from tests.pipelines.capture.heads import CENTER, FOCAL_PX, SIZE, filmed, looking, project

YAW = np.linspace(-50, 50, 21)


def model(poses: np.ndarray, **more) -> Model:
    known = {"rows": np.arange(len(poses)), "focal_px": FOCAL_PX, "points": 5000, "error_px": 0.3, "views": len(poses)}
    return Model(camera_from_world=poses, **{**known, **more})


def inside_out(poses: np.ndarray) -> np.ndarray:
    """The reversed-depth twin of an orbit: world and cameras mirrored in depth, turns the other way round."""
    flip = np.diag([1.0, 1.0, -1.0])
    result = poses.copy()
    result[:, :3, :3] = flip @ poses[:, :3, :3] @ flip
    result[:, :3, 3] = poses[:, :3, 3] * (1, 1, -1)
    return result


def reference(poses: np.ndarray, points: np.ndarray | None = None) -> Candidate:
    shape = np.zeros((len(RIGID), 3)) if points is None else points
    return Candidate(
        method="landmark_pose", camera_from_world=poses, focal_px=FOCAL_PX, points=shape, error_px=np.ones(len(poses)),
        confidence=np.ones(len(poses)),
    )  # fmt: skip


def test_axes_of_an_orbit_meet_in_front_and_of_its_twin_behind() -> None:
    poses = looking(YAW)
    point, ahead, spread = look_at(poses)
    assert np.allclose(point, 0, atol=1e-6) and ahead == 1 and spread > 10
    assert look_at(inside_out(poses))[1] == 0
    assert look_at(looking(np.linspace(-1, 1, 21)))[2] < 1


def test_an_inside_out_model_turns_the_other_way() -> None:
    poses = looking(YAW)
    assert disagreement_deg(model(poses), reference(poses)) < 1e-3
    assert disagreement_deg(model(inside_out(poses)), reference(poses)) > 20


def test_problems_name_what_is_wrong() -> None:
    poses, points = looking(YAW), np.random.default_rng(0).normal(0, 0.064, (len(RIGID), 3))

    def words(found: Model) -> str:
        return " ".join(acceptance._problems(found, points, reference(poses), max(SIZE), CameraSettings()))

    assert words(model(poses)) == ""
    assert "inside out" in words(model(inside_out(poses)))
    assert "14 of 40 views" in words(replace(model(poses[:14]), rows=np.arange(14), views=40))
    assert "focal length" in words(model(poses, focal_px=3000.0))
    assert "off by" in words(model(poses, error_px=4.0))
    assert "only 20% of the matches" in words(model(poses, explained=0.2))
    assert "only 30 points" in words(model(poses, points=30))


def test_landmarks_are_triangulated_where_they_are() -> None:
    clip = filmed(noise_px=0.3)
    seen = rigid_px(clip.chosen)
    seen[3, 5] += 60
    found = triangulate(model(clip.poses), seen, np.ones((40, len(RIGID))), CENTER)
    assert np.abs(found - clip.landmarks[RIGID]).max() < 1.6e-3


def test_frames_between_the_views_get_the_poses_between() -> None:
    true = looking(YAW)
    lagging = looking(0.8 * YAW)
    rows = np.arange(0, 21, 4)
    found = acceptance._interpolate(true[rows], rows, lagging)
    assert np.allclose(found[rows], true[rows])
    assert np.abs(found[:, :3, :3] - true[:, :3, :3]).max() < 0.02


def test_a_child_that_breaks_or_hangs_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failed, match="see colmap.log"):
        run._run(tmp_path / "no-job.json", tmp_path / "colmap.log", 60)
    assert "no-job.json" in (tmp_path / "colmap.log").read_text()
    sleeper = tmp_path / "sleep.sh"
    sleeper.write_text("#!/bin/sh\nexec sleep 30\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    with pytest.raises(Failed, match="hung"):
        run._run(tmp_path / "job.json", tmp_path / "colmap.log", 0.5)
    begin = time.monotonic()
    with pytest.raises(OutOfTime):
        run._run(tmp_path / "job.json", tmp_path / "colmap.log", 60, begin + 0.5)
    assert time.monotonic() - begin < 20
    sleeper.write_text(f"#!/bin/sh\nexit {SPENT}\n")
    with pytest.raises(Failed, match="computing time was spent"):
        run._run(tmp_path / "job.json", tmp_path / "colmap.log", 60)


def test_views_that_share_nothing_give_no_model(tmp_path: Path) -> None:
    from pipelines.core.files import read_json, write_image, write_json

    rng, poses, names = np.random.default_rng(0), looking(np.linspace(-14, 14, 9)), [f"{row:06d}.jpg" for row in range(9)]
    for name in names:
        write_image(tmp_path / "images" / name, speckled(rng, 240))
    job = {
        "way": "seeded", "lens": True, "names": names, "masks": False, "scale": 1.0, "first_octave": 0, "threads": 1, "seed": 0,
        "peak_threshold": 0.0067, "focal_px": 300.0, "focal_known": False, "features": 500, "width": 240, "height": 240,
        "center_px": [120.0, 120.0], "pairs": run.pairs(poses, 6), "result": "result.json", "timeout_s": 60,
        "longest_s": 60, "poses": {name: pose[:3].tolist() for name, pose in zip(names, poses, strict=True)},
    }  # fmt: skip
    write_json(tmp_path / "job.json", job)
    run._run(tmp_path / "job.json", tmp_path / "colmap.log", 280)
    assert read_json(tmp_path / "result.json")["models"][0]["images"] == {}


@pytest.mark.parametrize(("way", "k1"), [("seeded", 0.0), ("seeded", -0.2), ("grown", 0.0), ("at_once", 0.0)])
def test_a_textured_room_is_reconstructed(tmp_path: Path, way: str, k1: float) -> None:
    """A wall and boxes seen by cameras whose poses are known to two degrees: real COLMAP and GLOMAP, in their own process."""
    import cv2

    from pipelines.core.files import write_image
    from tests.pipelines.capture.heads import rotation_error_deg

    lens = Lens(k1=k1, focal_px=FOCAL_PX, size=SIZE)
    rng, poses = np.random.default_rng(0), looking(np.linspace(-14, 14, 9), distance=3.0)
    walls = [
        (np.array([[-1.5, 1.2, z], [1.5, 1.2, z + tilt], [1.5, -1.2, z + tilt], [-1.5, -1.2, z]]), speckled(rng))
        for z, tilt in ((-0.8, 0.5),)
    ]
    boxes = [(np.array([[x, y + s, z], [x + s, y + s, z], [x + s, y, z], [x, y, z]]), speckled(rng, 160))
             for x, y, z, s in ((-0.5, -0.4, 0.2, 0.5), (0.1, 0.0, 0.4, 0.4))]  # fmt: skip
    names = []
    for row, pose in enumerate(poses):
        image = np.full((SIZE[1], SIZE[0], 3), 60, np.uint8)
        for corners, texture in [*walls, *boxes]:
            inside = corners @ pose[:3, :3].T + pose[:3, 3]
            px = (FOCAL_PX * inside[:, :2] / inside[:, 2:] + CENTER - 0.5).astype(np.float32)
            side = texture.shape[0] - 1
            matrix = cv2.getPerspectiveTransform(np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32), px)
            warped = cv2.warpPerspective(texture, matrix, SIZE, flags=cv2.INTER_AREA)
            covered = cv2.warpPerspective(np.ones(texture.shape[:2], np.uint8), matrix, SIZE, flags=cv2.INTER_NEAREST)
            image = np.where(covered[..., None] > 0, warped, image)
        names.append(f"{row:06d}.jpg")
        at = lens.undistort(np.stack(np.meshgrid(*(np.arange(side) + 0.5 for side in SIZE)), -1)).astype(np.float32) - 0.5
        image = cv2.remap(image, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE) if k1 else image
        write_image(tmp_path / "images" / names[-1], image)
    rough = {name: pose[:3].tolist() for name, pose in zip(names, disturbed(poses), strict=True)}
    job = {
        "way": way, "lens": way == "seeded", "names": names, "masks": False, "scale": 1.0, "first_octave": 0, "threads": 2,
        "peak_threshold": 0.0067, "focal_px": 660.0, "focal_known": False, "features": 2000, "width": SIZE[0],
        "height": SIZE[1], "center_px": CENTER.tolist(), "pairs": run.pairs(poses, 6), "result": "result.json", "seed": 0,
        "poses": rough if way == "seeded" else {}, "timeout_s": 60, "longest_s": 60,
    }  # fmt: skip
    from pipelines.core.files import read_json, write_json

    write_json(tmp_path / "job.json", job)
    run._run(tmp_path / "job.json", tmp_path / "colmap.log", 280)
    best = read_json(tmp_path / "result.json")["models"][0]
    found = np.tile(np.eye(4), (9, 1, 1))
    found[:, :3] = np.array([best["images"][name] for name in names])
    assert len(best["images"]) == 9
    assert best["k1"] == pytest.approx(k1, abs=0.03) and bool(best["k1"]) == bool(k1)
    assert min(best["explained"].values()) > 0.5
    assert rotation_error_deg(found, poses).max() < 0.5
    assert best["focal_px"] == pytest.approx(FOCAL_PX, rel=0.05)
    view, x, y, *point = best["sightings"][0]
    inside = found[view, :3, :3] @ point + found[view, :3, 3]
    found_lens = Lens(k1=best["k1"], focal_px=best["focal_px"], size=SIZE)
    px = found_lens.distort(best["focal_px"] * inside[:2] / inside[2] + CENTER)
    assert px == pytest.approx(np.array([x, y]), abs=3)


def disturbed(poses: np.ndarray, degrees: float = 2.0) -> np.ndarray:
    """Each pose turned by its own angle of about `degrees`, as those from landmarks are."""
    turns = Rotation.from_rotvec(np.random.default_rng(0).normal(0, np.radians(degrees) / 1.7, (len(poses), 3))).as_matrix()
    result = poses.copy()
    result[:, :3, :3] = turns @ poses[:, :3, :3]
    return result


@pytest.mark.parametrize("seed", range(20))
def test_an_inside_out_model_is_never_taken(seed: int) -> None:
    """Orbits, sways and nods of any reach, with noise; and what COLMAP makes of them when it takes near for far."""
    rng = np.random.default_rng(seed)
    reach, sway = rng.uniform(15, 80), rng.uniform(0, 12)
    poses = looking(
        np.linspace(-reach, reach, 31), sway * np.sin(rng.uniform(2, 9) * np.linspace(0, 1, 31)), rng.uniform(0.48, 1.28)
    )
    points = canonical_landmarks()[RIGID] + rng.normal(0, 0.0032, (len(RIGID), 3))
    rough = reference(disturbed(poses), points)

    def problems(found: Model) -> list[str]:
        seen = project(found.camera_from_world, points) + rng.normal(0, 1.0, (31, len(RIGID), 2))
        return acceptance._problems(
            found, triangulate(found, seen, np.ones((31, len(RIGID))), CENTER), rough, 640, CameraSettings()
        )

    assert problems(model(poses)) == []
    assert problems(model(inside_out(poses)))
    assert problems(model(inside_out(poses), focal_px=0.7 * FOCAL_PX))


def test_views_are_paired_in_time_and_where_the_head_is_seen_from_the_same_side() -> None:
    there_and_back = looking(np.concatenate([np.linspace(-60, 60, 20), np.linspace(60, -60, 20)]))
    found = run.pairs(there_and_back, 3)
    assert len(set(found)) == len(found) and all(one < other for one, other in found)
    assert {(4, 5), (4, 7), (4, 8), (4, 12)} <= set(found)
    assert (2, 37) in found and (0, 20) not in found


def test_few_points_or_a_leap_cost_the_confidence() -> None:
    poses, time_s = looking(np.linspace(-40, 40, 21)), np.arange(21) / 10
    count, error = np.full(21, 100), np.full(21, 5.0)
    poses[10] = looking(np.array([25.0]))[0]
    count[[4, 10]], count[6], error[15] = 5, 20, 40.0
    found = acceptance.trusted(poses, count, error, time_s, CameraSettings())
    assert found[4] == 0 and found[10] == 0
    assert found[6] == pytest.approx(0.5, abs=0.01) and found[15] < 0.1 and found[2] > 0.9
    count[10] = 100
    assert acceptance.trusted(poses, count, error, time_s, CameraSettings())[10] > 0.9
    error[10] = 40.0
    assert acceptance.trusted(poses, count, error, time_s, CameraSettings())[10] == 0


def speckled(rng: np.random.Generator, size: int = 512) -> np.ndarray:
    import cv2

    noise = rng.integers(0, 255, (size // 6, size // 6, 3)).astype(np.uint8)
    return cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC)
