"""Driving as it happens."""

import sys
import threading
import time
import types
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.avatar_record import ViewLimits
from pipelines.avatar.view_limits import standpoints
from pipelines.core.errors import MissingTool, SettingError, UnusableMaterial
from pipelines.core.files import read_json
from pipelines.core.stage import Silent
from pipelines.drive import DriveSettings
from pipelines.drive.live import session as subject
from pipelines.drive.live.session import Slot, live, parts
from pipelines.drive.live.sinks import Recorder
from pipelines.drive.live.sources import FileSource, open_source
from pipelines.drive.motion.causal_retarget import OneEuro
from pipelines.drive.render.painter import Painter
from pipelines.drive.settings import LiveSettings
from pipelines.face.expression import MEASURED
from pipelines.face.tracker import FaceTracker
from pipelines.media.video import probe, read_frames
from pipelines.provenance.manifest import read_manifest
from tests.material import shared
from tests.pipelines.drive.scripted import ScriptedTracker, write_driver
from tests.tiny import write_tiny_avatar

SMALL = DriveSettings(size=32, background="#808080")
JAW, LID = MEASURED.index("jawOpen"), MEASURED.index("eyeBlinkLeft")


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_avatar(tmp_path_factory.mktemp("live") / "anna.avatar")


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    return write_driver(tmp_path / "driver.mp4", 0.5 + 0.5 * np.sin(np.arange(20) / 2))


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "FaceTracker", ScriptedTracker)
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


def test_a_slot_gives_the_newest_and_counts_what_was_overwritten():
    slot, taken = Slot[int](), []
    for number in range(4):
        slot.put(number)
    reader = threading.Thread(target=lambda: taken.extend(slot))
    reader.start()
    time.sleep(0.05)
    slot.put(7)
    time.sleep(0.05)
    slot.close()
    reader.join()
    assert taken == [3, 7] and slot.put_count == 5 and slot.overwritten == 3


def test_a_file_comes_at_its_own_pace(driver: Path):
    start = time.perf_counter()
    came = [(time_s, time.perf_counter() - start) for time_s, _ in FileSource(driver, 640).frames()]
    assert len(came) == 20 and came[-1][0] == pytest.approx(1.9)
    assert came[-1][1] - came[0][1] >= 1.88 and all(there - came[0][1] >= time_s - 0.02 for time_s, there in came)


def test_a_recording_shows_each_picture_at_its_own_moment(tmp_path: Path):
    recorder = Recorder(tmp_path / "a.mp4", Fraction(10), None)
    for time_s, gray in ((0.0, 40), (0.3, 120), (0.31, 200)):
        recorder.show(time_s, np.full((32, 32, 3), gray, np.uint8))
    assert recorder.close(1.0) == 10
    levels = [round(float(frame.image.mean()) / 40) for frame in read_frames(tmp_path / "a.mp4")]
    assert levels == [1, 1, 1, 5, 5, 5, 5, 5, 5, 5]


def test_live_records_what_the_driver_did_in_its_own_time(tmp_path: Path, avatar: Path, driver: Path):
    start = time.perf_counter()
    figures = live(avatar, str(driver), tmp_path / "out.mp4", SMALL, Silent())
    assert time.perf_counter() - start >= 1.9
    info = probe(tmp_path / "out.mp4")
    assert info.frames == 20 == figures["recorded_frames"] and info.rate == 10 and info.size == (32, 32)
    assert figures["frames"] == 20 == figures["shown"] + figures["dropped"]
    assert 0 < figures["latency_ms"] <= figures["latency_95_ms"]
    assert read_json(tmp_path / "out.json")["figures"]["shown"] == figures["shown"]
    origin = figures["provenance"]
    assert read_manifest(tmp_path / "out.mp4").state == "valid" and origin["mark"] == origin["avatar"][:8]
    with pytest.raises(SettingError, match="already exists"):
        live(avatar, str(driver), tmp_path / "out.mp4", SMALL, Silent())


def test_a_slow_renderer_drops_frames_and_does_not_fall_behind(
    tmp_path: Path, avatar: Path, driver: Path, monkeypatch: pytest.MonkeyPatch
):
    honest = Painter.layers

    def slow(self: Painter, *row):  # noqa: ANN002
        time.sleep(0.5)
        return honest(self, *row)

    monkeypatch.setattr(Painter, "layers", slow)
    start = time.perf_counter()
    figures = live(avatar, str(driver), tmp_path / "out.mp4", SMALL, Silent())
    assert time.perf_counter() - start < 6
    assert figures["dropped"] >= 8 and figures["latency_95_ms"] < 1200
    assert probe(tmp_path / "out.mp4").frames == 20


def test_a_virtual_camera_gets_the_pictures(avatar: Path, driver: Path, monkeypatch: pytest.MonkeyPatch):
    sent: list[np.ndarray] = []

    class Camera:
        def __init__(self, width: int, height: int, fps: float) -> None:
            assert (width, height, fps) == (32, 32, 10.0)

        def send(self, picture: np.ndarray) -> None:
            sent.append(picture)

        def close(self) -> None:
            sent.append(np.zeros(0))

    monkeypatch.setitem(sys.modules, "pyvirtualcam", types.SimpleNamespace(Camera=Camera))
    figures = live(avatar, str(driver), None, SMALL, Silent())
    assert len(sent) == figures["shown"] + 1 and sent[0].shape == (32, 32, 3) and figures["recorded_frames"] == 0


def test_without_any_screen_it_says_what_to_do(avatar: Path, driver: Path):
    with pytest.raises(MissingTool, match="pip install pyvirtualcam.*Record with -o"):
        live(avatar, str(driver), None, SMALL, Silent())


def test_what_live_cannot_do_is_said(tmp_path: Path, avatar: Path, driver: Path):
    out = tmp_path / "out.mp4"
    for settings, path, said in [
        (replace(SMALL, side_by_side=True), out, "nor --side-by-side"),
        (replace(SMALL, background="blur"), out, "neither a moving background"),
        (replace(SMALL, background="transparent"), out, "no transparent"),
        (SMALL, tmp_path / "out.webm", "records only .mp4"),
    ]:
        with pytest.raises(SettingError, match=said):
            live(avatar, str(driver), path, settings, Silent())
    with pytest.raises(UnusableMaterial, match="neither a video file nor a camera"):
        open_source("webcam", SMALL)
    with pytest.raises(UnusableMaterial, match="camera 97 cannot be opened"):
        open_source("97", SMALL)
    assert not list(tmp_path.glob("out*"))


def test_a_camera_that_ends_at_once_leaves_no_recording(tmp_path: Path, avatar: Path, monkeypatch: pytest.MonkeyPatch):
    source = types.SimpleNamespace(rate=Fraction(10), length_s=None, sound=None, frames=lambda: iter(()))
    monkeypatch.setattr(subject, "open_source", lambda driver, settings: source)
    with pytest.raises(UnusableMaterial, match="ended before a picture"):
        live(avatar, "0", tmp_path / "out.mp4", SMALL, Silent())
    assert not list(tmp_path.glob("*out*"))


def test_a_fault_while_reading_the_face_ends_it(tmp_path: Path, avatar: Path, driver: Path, monkeypatch: pytest.MonkeyPatch):
    def broken(*words: object) -> None:
        raise RuntimeError("torn")

    monkeypatch.setattr(subject, "face_row", broken)
    with pytest.raises(RuntimeError, match="torn"):
        live(avatar, str(driver), tmp_path / "out.mp4", SMALL, Silent())


def test_the_first_person_drives_and_nobody_else(tmp_path: Path, avatar: Path, monkeypatch: pytest.MonkeyPatch):
    """One person, another one, the first one again, at the same place; the figures and a line say so."""
    monkeypatch.setattr(subject, "FaceTracker", FaceTracker)
    pictures = []
    for name, start in (("drive_singing", 125), ("drive_phone_selfie", 60), ("drive_singing", 200)):
        clip = shared(f"clips/{name}.mp4")
        frames = read_frames(clip, indices=set(range(start, start + 12)), longest_side_px=320)
        pictures += [frame.image[: min(frame.image.shape[:2]), : min(frame.image.shape[:2])] for frame in frames]
    seen = [subject.Seen(number / 25, 0.0, cv2.resize(image, (256, 256))) for number, image in enumerate(pictures)]
    faces: list[subject.Read] = []
    slot = types.SimpleNamespace(put=faces.append)
    subject._read(seen, slot, load_avatar(avatar), SMALL, threading.Event())  # type: ignore[arg-type]
    assert [face.pose is not None for face in faces] == [True] * 12 + [False] * 12 + [True] * 12
    assert [face.stranger for face in faces] == [False] * 12 + [True] * 12 + [False] * 12
    pace = subject.Pace()
    for face in faces:
        pace.add(face)
    said, warned = Silent(), list[str]()
    monkeypatch.setattr(said, "warn", warned.append)
    assert subject.told(pace, Slot(), Slot(), 0, said)["stranger_frames"] == 12
    assert warned == ["another person is seen in 12 of 36 pictures; the first one's motion is held there."]


def performed(avatar: Path, scores: np.ndarray, settings: DriveSettings = SMALL) -> np.ndarray:
    """[T,E] what the mapper makes of scores at 30 Hz; NaN rows are lost faces."""
    loaded = load_avatar(avatar)
    _, mapper = parts(loaded, settings)
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[2, 3] = 2.5
    rows = [(None, None) if np.isnan(row).any() else (row, pose) for row in scores]
    return np.concatenate([mapper(number / 30, *row).expression for number, row in enumerate(rows)])


def test_the_first_second_is_the_drivers_rest_and_becomes_the_avatars(avatar: Path):
    scores = np.full((120, len(MEASURED)), 0.4)
    scores[60:, JAW] = 0.7
    shown = performed(avatar, scores)
    assert shown[:60] == pytest.approx(np.full((60, len(MEASURED)), 0.1), abs=1e-3)
    assert shown[-1, JAW] == pytest.approx(0.4, abs=0.03) and np.abs(shown[-1, LID] - 0.1) < 1e-3


def test_a_blink_is_not_held_up(avatar: Path):
    """It arrives within a frame and nearly whole, without knowing the future."""
    scores = np.full((120, len(MEASURED)), 0.2)
    scores[80:85, LID] = (0.45, 0.8, 0.8, 0.6, 0.3)
    shown = performed(avatar, scores)[:, LID] - 0.1
    assert abs(int(shown.argmax()) - 81.5) <= 1 and shown.max() > 0.97 * 0.6
    noise = np.random.default_rng(0).normal(scale=0.02, size=(200, 1))
    calm = OneEuro(1.5, 3.0)
    smooth = np.array([calm(row, 1 / 30) for row in noise])
    assert np.diff(smooth[:, 0]).std() < 0.6 * np.diff(noise[:, 0]).std()


def test_a_lost_face_is_held(avatar: Path):
    scores = np.full((100, len(MEASURED)), 0.2)
    scores[50:, JAW] = 0.6
    scores[70:90] = np.nan
    shown = performed(avatar, scores)
    assert (shown[70:90] == shown[69]).all() and shown[69, JAW] > 0.35


def test_a_driver_with_a_larger_range_is_brought_to_the_avatars(avatar: Path):
    scores = np.full((400, len(MEASURED)), 0.2)
    scores[60:, JAW] += 2.0 * np.clip(np.sin(np.arange(340) / 10), 0, 1)
    shown = performed(avatar, scores, replace(SMALL, live=LiveSettings(settle_s=0.5)))
    assert shown[300:, JAW].max() < 0.9 and shown[300:, JAW].max() > 0.6
    late = shown[300:, JAW]
    assert (late > late.max() - 0.02).mean() < 0.5, "peaks are scaled, not cut flat"


def test_a_view_goes_little_further_than_the_capture_also_live(avatar: Path):
    """A head that turns by 30 degrees before the camera, for an avatar filmed within 5."""
    loaded, seen = load_avatar(avatar), {}
    turned = np.diag([1.0, -1.0, -1.0, 1.0])
    turned[:3, :3] = turned[:3, :3] @ Rotation.from_euler("Y", 30, degrees=True).as_matrix()
    turned[2, 3] = 2.5
    rest = np.diag([1.0, -1.0, -1.0, 1.0])
    rest[2, 3] = 2.5
    for name, limits in (("older", None), ("narrow", ViewLimits(yaw_deg=(-5, 5), pitch_deg=(-5, 5)))):
        _, mapper = parts(replace(loaded, record=replace(loaded.record, view_limits=limits)), SMALL)
        for number in range(100):
            motion = mapper(number / 30, np.full(len(MEASURED), 0.2), rest if number < 50 else turned)
        seen[name] = np.abs(standpoints(motion.world_from_camera)[0, 0])
    assert seen["older"] > 22 and 5 < seen["narrow"] < 20
