"""The whole drive on a tiny avatar."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.drive import DriveSettings, TrackSettings, drive, selfcheck, track
from pipelines.drive import render as rendering
from pipelines.drive.render import Motion, Painter, make_background
from pipelines.errors import MissingTool, SettingError, UnusableMaterial
from pipelines.stage import Silent
from pipelines.video import probe, read_frames
from tests.pipelines.drive.scripted import ScriptedTracker, write_driver
from tests.tiny import write_tiny_avatar

SMALL = DriveSettings(size=32, segment=8, batch=3, track=TrackSettings(chunk=10))


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    return write_tiny_avatar(tmp_path / "anna.avatar")


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    return write_driver(tmp_path / "driver.mp4", 0.5 + 0.5 * np.sin(np.arange(24) / 2))


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (track, selfcheck):
        monkeypatch.setattr(module, "FaceTracker", ScriptedTracker)


def test_a_video_with_its_record(tmp_path: Path, avatar: Path, driver: Path):
    report = drive(avatar, driver, tmp_path / "out.mp4", SMALL, Silent())
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.frames) == (32, 32, 24) and info.rate_hz == pytest.approx(10)
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["figures"]["frames"] == 24 and record["figures"]["lost_frames"] == 0
    assert set(record["seconds"]) == {"track", "retarget", "render", "join", "self_check"}
    assert "jawOpen" in record["figures"]["self_check"]
    assert not (tmp_path / "out.mp4.partial").exists()
    assert drive(avatar, driver, tmp_path / "out.mp4", SMALL, Silent()).status == "unchanged"
    assert report.figures == record["figures"]


def test_a_killed_drive_goes_on_and_ends_the_same(tmp_path: Path, avatar: Path, driver: Path, monkeypatch: pytest.MonkeyPatch):
    drive(avatar, driver, tmp_path / "whole.mp4", SMALL, Silent())
    honest, painted = Painter.paint, []

    def dying(self: Painter, motion: Motion, first: int, last: int):
        painted.append(first)
        if first == 8 and painted.count(8) == 1:
            raise KeyboardInterrupt
        return honest(self, motion, first, last)

    monkeypatch.setattr(rendering.Painter, "paint", dying)
    with pytest.raises(KeyboardInterrupt):
        drive(avatar, driver, tmp_path / "cut.mp4", SMALL, Silent())
    assert not (tmp_path / "cut.mp4").exists() and (tmp_path / "cut.mp4.partial" / "segments" / "000000.mp4").exists()
    (tmp_path / "cut.mp4.partial" / "segments" / ".000008.77.mp4").write_bytes(b"cut off")  # as kill -9 leaves it
    drive(avatar, driver, tmp_path / "cut.mp4", SMALL, Silent())
    assert painted == [0, 8, 8, 16]
    assert (tmp_path / "cut.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_transparent_pictures(tmp_path: Path, avatar: Path, driver: Path):
    from pipelines.files import read_image

    settings = DriveSettings(**{**vars(SMALL), "background": "transparent", "view": "orbit"})
    drive(avatar, driver, tmp_path / "frames", settings, Silent())
    pictures = sorted((tmp_path / "frames" / "frames").glob("*.png"))
    assert len(pictures) == 24
    alpha = read_image(pictures[5])[..., 3]
    assert alpha.min() < 255
    drive(avatar, driver, tmp_path / "out.webm", settings, Silent())
    assert probe(tmp_path / "out.webm").frames == 24


def test_lost_frames_are_counted_and_said(tmp_path: Path, avatar: Path):
    jaw = np.full(20, 0.5)
    jaw[6:13] = np.nan
    report = drive(avatar, write_driver(tmp_path / "d.mp4", jaw), tmp_path / "out.mp4", SMALL, Silent())
    assert report.figures["lost_frames"] == 7 and report.figures["longest_loss_s"] == pytest.approx(0.7)
    assert any("lost in 7 of 20 frames" in text for text in report.warnings)


def test_bad_input_is_said_before_anything_is_written(tmp_path: Path, avatar: Path, driver: Path):
    (tmp_path / "text.mp4").write_text("hello")
    transparent = DriveSettings(background="transparent")
    cases = [
        (avatar, tmp_path / "text.mp4", "out.mp4", SMALL, UnusableMaterial),
        (tmp_path / "nobody.avatar", driver, "out.mp4", SMALL, UnusableMaterial),
        (avatar, driver, "out.mp4", transparent, SettingError),
        (avatar, driver, "out.gif", SMALL, SettingError),
    ]
    before = set(tmp_path.iterdir())
    for folder, video, name, settings, error in cases:
        with pytest.raises(error):
            drive(folder, video, tmp_path / name, settings, Silent())
    assert set(tmp_path.iterdir()) == before


def test_an_avatar_of_blendshapes_says_at_once_that_their_model_is_missing(tmp_path: Path, avatar: Path, driver: Path):
    record = json.loads((avatar / "avatar.json").read_text())
    record["expression"]["space"] = "blendshapes"
    (avatar / "avatar.json").write_text(json.dumps(record))
    with pytest.raises(MissingTool, match="face_landmarker.task"):
        drive(avatar, driver, tmp_path / "out.mp4", SMALL, Silent())
    assert not list(tmp_path.glob("out*"))


def test_pictures_do_not_depend_on_batches_or_on_what_came_before(avatar: Path):
    from pipelines.artifacts import load_avatar

    loaded = load_avatar(avatar)
    random = np.random.default_rng(0)
    pose = loaded.frontal.world_from_camera[0].numpy()
    motion = Motion(
        expression=random.normal(size=(6, len(loaded.names))).astype(np.float32), world_from_camera=np.tile(pose, (6, 1, 1)),
        torso=np.zeros((6, 3)),
    )  # fmt: skip

    def painter(batch: int, precision: str = "float32") -> Painter:
        background = make_background("#102030", 32)
        return Painter(avatar=loaded, size=32, background=background, torso=None, batch=batch, precision=precision)

    whole = np.stack(list(painter(6).paint(motion, 0, 6))).astype(int)
    parts = np.stack([*painter(2).paint(motion, 0, 4), *painter(1).paint(motion, 4, 6)]).astype(int)
    assert whole.shape == (6, 32, 32, 3) and np.abs(whole - parts).max() <= 1
    rough = np.stack(list(painter(6, "bfloat16").paint(motion, 0, 6))).astype(int)
    assert 0 < np.sqrt(np.square(whole - rough).mean()) < 3


def test_the_drivers_clock_is_kept_for_uneven_frames(tmp_path: Path, avatar: Path, driver: Path):
    """Frames of the output are those of a player that shows the driver at its average rate."""
    drive(avatar, driver, tmp_path / "out.mp4", SMALL, Silent())
    times = [frame.time_s for frame in read_frames(tmp_path / "out.mp4")]
    assert times == pytest.approx((np.arange(24) / 10).tolist(), abs=1e-3)
