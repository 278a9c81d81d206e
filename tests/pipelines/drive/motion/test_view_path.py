"""Cameras of the output."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.artifacts.avatar_record import ViewLimits
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.drive.motion.view_path import check_view, driver_view, orbit_view, seen_with, shot, still_view
from pipelines.drive.settings import ViewSettings
from pipelines.face.track import Track
from pipelines.geometry.rigid import soft_limit

FRONTAL = np.diag([1.0, -1.0, -1.0, 1.0])
FRONTAL[2, 3] = 2.7
LENS = np.array([[3.0, 0, 0.5], [0, 3.0, 0.5], [0, 0, 1]])
EXACT = ViewSettings(smooth_hz=1000.0, turn_limit="none", shift_limit=1e6, shift=1.0)


def track(yaw_deg: np.ndarray, shift: np.ndarray | None = None) -> Track:
    """A head before the driver's camera that turns to its own left by `yaw_deg`, always looking 20 degrees down."""
    count = len(yaw_deg)
    poses = np.tile(np.eye(4), (count, 1, 1))
    head = Rotation.from_euler("YX", np.column_stack([yaw_deg, np.full(count, 20.0)]), degrees=True).as_matrix()
    poses[:, :3, :3] = np.diag([1.0, -1.0, -1.0]) @ head
    poses[:, :3, 3] = (0.4, 0.2, 3.0)
    poses[:, :3, 3] += 0 if shift is None else shift
    return Track(
        space="measured", names=("jawOpen",), rate_hz=30.0, times_s=np.arange(count) / 30, expression=np.zeros((count, 1)),
        world_from_head=poses, confidence=np.ones(count), valid=np.ones(count, bool),
    )  # fmt: skip


def gaze(world_from_camera: np.ndarray) -> np.ndarray:
    """[T,3] where the face looks, in the camera's axes."""
    return np.linalg.inv(world_from_camera)[:, :3, 2]


def test_a_driver_at_rest_shows_the_avatar_frontally():
    cameras = driver_view(FRONTAL, track(np.zeros(20)), EXACT)
    assert np.allclose(cameras, FRONTAL, atol=1e-6)


def test_the_head_turns_as_the_drivers_head_does():
    yaw = 15 * np.sin(np.arange(120) / 8)
    seen = gaze(driver_view(FRONTAL, track(yaw), EXACT))
    turned = np.degrees(np.arctan2(seen[:, 0], -seen[:, 2]))
    assert np.corrcoef(turned, yaw)[0, 1] > 0.999 and np.abs(turned).max() == pytest.approx(15, abs=2)
    half = gaze(driver_view(FRONTAL, track(yaw), ViewSettings(**{**vars(EXACT), "turn": 0.5})))
    assert np.abs(np.degrees(np.arctan2(half[:, 0], -half[:, 2]))).max() == pytest.approx(7.5, abs=1.2)


def test_sideways_and_depth_are_relative_to_the_drivers_mean():
    shift = np.zeros((41, 3))
    shift[30:, 0], shift[35:, 2] = 0.1, 0.3
    inside = np.linalg.inv(driver_view(FRONTAL, track(np.zeros(41), shift), EXACT))
    assert inside[10, :3, 3] == pytest.approx((0, 0, 2.7), abs=1e-6)
    assert inside[32, 0, 3] == pytest.approx(0.1, abs=1e-3) and inside[38, 2, 3] == pytest.approx(2.7 * 1.1, abs=1e-2)


def test_turns_stay_within_what_the_avatar_knows():
    seen = gaze(driver_view(FRONTAL, track(np.linspace(-80, 80, 60)), ViewSettings()))
    assert np.abs(np.degrees(np.arctan2(seen[:, 0], -seen[:, 2]))).max() < 36


def test_a_narrow_capture_turns_back_a_driver_who_turns_far():
    known, driver = ViewLimits(yaw_deg=(-6.0, 6.0), pitch_deg=(-90.0, 90.0)), track(np.linspace(-40, 40, 81))
    every = {
        limit: shot("driver", FRONTAL, LENS, driver, replace(EXACT, turn_limit=limit), known)
        for limit in ("auto", "none", 12.0)
    }
    seen = {limit: gaze(found.world_from_camera) for limit, found in every.items()}
    most = {limit: float(np.degrees(np.arctan2(one[:, 0], -one[:, 2])).max()) for limit, one in seen.items()}
    assert most["auto"] == pytest.approx(19.6, abs=0.3) and most["none"] == pytest.approx(40, abs=1) and most[12.0] < 12.1
    back = every["auto"].turned_back_deg
    assert back is not None and back[40] == 0 < back[-1] == pytest.approx(9, abs=1)
    assert every["none"].turned_back_deg is None and shot("still", FRONTAL, LENS, driver, EXACT, known).turned_back_deg is None
    assert shot("driver", FRONTAL, LENS, driver, ViewSettings()).turned_back_deg is None, "older avatars say nothing"


def test_small_vectors_pass_the_limit_unchanged():
    assert soft_limit(np.array([[0.01, 0, 0], [9.0, 0, 0], [0, 0, 0]]), 1.0)[:, 0] == pytest.approx([0.01, 1.0, 0.0], abs=1e-4)


def test_orbit_keeps_the_distance_and_comes_back():
    settings = ViewSettings(orbit_deg=25, orbit_period_s=6)
    cameras = orbit_view(FRONTAL, np.array([0.0, 1.5, 3.0, 4.5]), settings)
    assert np.allclose(cameras[[0, 2]], FRONTAL, atol=1e-9)
    assert np.allclose(np.linalg.norm(cameras[:, :3, 3], axis=1), 2.7)
    assert np.degrees(np.arctan2(cameras[1, 0, 3], cameras[1, 2, 3])) == pytest.approx(25)
    assert np.allclose(-cameras[:, :3, 2] * 2.7, cameras[:, :3, 3])  # always looks at the origin
    assert np.array_equal(still_view(FRONTAL, 3)[2], FRONTAL)


def test_a_turntable_goes_all_around_and_is_far_from_a_flat_torso():
    found = shot("turntable", FRONTAL, LENS, track(np.zeros(41)), ViewSettings(turn_period_s=40 / 30))
    cameras = found.world_from_camera
    assert found.around and np.allclose(cameras[40], FRONTAL, atol=1e-9)
    assert cameras[20, :3, 3] == pytest.approx((0, 0, -2.7), abs=1e-9) and cameras[10, 0, 3] == pytest.approx(2.7)


def test_a_field_of_view_keeps_the_heads_size():
    narrow = 2 * np.degrees(np.arctan(0.5 / 6.0))
    base, factor = seen_with(FRONTAL, LENS, narrow)
    assert factor == pytest.approx(2.0) and base[:3, 3] == pytest.approx((0, 0, 5.4))
    point = np.array([0.2, 0.1, 0.0, 1.0])
    for camera, focal in ((FRONTAL, 3.0), (base, 6.0)):
        x, y, z, _ = np.linalg.inv(camera) @ point
        assert (focal * x / z, focal * y / z) == pytest.approx((0.2 * 3 / 2.7, -0.1 * 3 / 2.7))
    found = shot("still", FRONTAL, LENS, track(np.zeros(3)), ViewSettings(fov_deg=narrow, zoom=1.5))
    assert found.zoom == pytest.approx(np.full(3, 3.0)) and not found.around


def test_a_camera_path_passes_its_keys_smoothly(tmp_path: Path):
    path = tmp_path / "path.csv"
    path.write_text("time_s,yaw_deg,pitch_deg,distance\n0,0,0,1\n1,30,0,1\n2,30,10,1.5\n")
    found = shot(str(path), FRONTAL, LENS, track(np.zeros(91)), ViewSettings())
    cameras = found.world_from_camera
    assert np.allclose(cameras[0], FRONTAL, atol=1e-9) and not found.around and (found.zoom == 1).all()
    x, y, z = cameras[30, :3, 3]
    assert np.degrees(np.arctan2(x, z)) == pytest.approx(30) and y == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(cameras[60, :3, 3]) == pytest.approx(1.5 * 2.7) and cameras[60, 1, 3] > 0.5
    assert np.allclose(cameras[60:], cameras[60]), "held behind the last key"
    yaw = np.degrees(np.arctan2(cameras[:31, 0, 3], cameras[:31, 2, 3]))
    assert (np.diff(yaw) > -1e-9).all() and np.diff(yaw, 2).max() < 0.3
    path.write_text("time_s,yaw_deg\n0,0\n2,170\n")
    assert shot(str(path), FRONTAL, LENS, track(np.zeros(91)), ViewSettings()).around


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time_s,yaw\n0,0\n", "the column 'yaw'"),
        ("yaw_deg\n3\n", "a column time_s"),
        ("time_s,yaw_deg\n0,left\n", "left"),
        ("time_s,yaw_deg\n1,0\n0,3\n", "times of a camera path must increase"),
        ("time_s,distance\n0,0.01\n", "between 0.3 and 5"),
        ("", "is not a camera path"),
    ],
)
def test_a_bad_camera_path_is_one_sentence(tmp_path: Path, text: str, said: str):
    (tmp_path / "path.csv").write_text(text)
    with pytest.raises(UnusableMaterial, match=said):
        check_view(str(tmp_path / "path.csv"), ViewSettings())


def test_a_view_that_is_none_is_said():
    with pytest.raises(SettingError, match="neither driver, still, orbit, turntable nor"):
        check_view("sideways", ViewSettings())
    with pytest.raises(SettingError, match="fov_deg"):
        check_view("still", ViewSettings(fov_deg=150))
    with pytest.raises(SettingError, match="turn_limit=0 is out of range"):
        check_view("driver", ViewSettings(turn_limit=0.0))
