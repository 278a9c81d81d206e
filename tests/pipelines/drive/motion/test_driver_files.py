"""Any driver: recognized, read, brought to one rate."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.stage import Silent
from pipelines.drive.motion import track as tracking
from pipelines.drive.motion.driver_files import drivers_in, nearby, open_driver
from pipelines.drive.motion.record_track import TakeSettings, take
from pipelines.drive.motion.track import losses, states
from pipelines.drive.settings import TrackSettings
from pipelines.face.livelink import write_livelink
from pipelines.face.track import load_track, save_track
from tests.pipelines.drive.scripted import ScriptedTracker, write_driver
from tests.pipelines.drive.takes import moving

CANONICAL = load_prior("quick").landmarks


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "FaceTracker", ScriptedTracker)


def test_rates_are_exact():
    assert nearby(29.97002997) == Fraction(30000, 1001) and nearby(60.0) == 60 and nearby(12.5) == Fraction(25, 2)


def test_a_track_file_keeps_everything(tmp_path: Path):
    track = replace(moving(), duration_s=2.02)
    save_track(tmp_path / "a.track", track)
    back = load_track(tmp_path / "a.track")
    assert back.names == track.names and back.length_s == 2.02 and np.array_equal(back.expression, track.expression)
    driver = open_driver(tmp_path / "a.track", TrackSettings())
    assert driver.count == 61 and driver.rate == 30 and driver.video is None
    assert open_driver(tmp_path / "a.track", TrackSettings(rate_hz=15)).count == 30


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 torn"])
def test_what_is_no_track_is_one_sentence(tmp_path: Path, content: bytes):
    (tmp_path / "a.track").write_bytes(content)
    with pytest.raises(UnusableMaterial, match="a.track"):
        open_driver(tmp_path / "a.track", TrackSettings())


def test_arrays_of_something_else_are_no_track(tmp_path: Path):
    from pipelines.core.files import write_arrays

    write_arrays(tmp_path / "a.track", expression=np.zeros((3, 4)))
    with pytest.raises(UnusableMaterial, match="no track .it has no space."):
        open_driver(tmp_path / "a.track", TrackSettings())


def test_a_driver_that_is_not_there_and_one_without_a_face(tmp_path: Path):
    with pytest.raises(UnusableMaterial, match="no.mp4 does not exist"):
        open_driver(tmp_path / "no.mp4", TrackSettings())
    write_livelink(tmp_path / "a.csv", replace(moving(), valid=np.arange(60) < 3))
    with pytest.raises(UnusableMaterial, match="3 rows with a face"):
        open_driver(tmp_path / "a.csv", TrackSettings())
    write_livelink(tmp_path / "a.csv", moving())
    with pytest.raises(SettingError, match="rate_hz"):
        open_driver(tmp_path / "a.csv", TrackSettings(rate_hz=0))


def test_a_take_and_its_csv_hold_what_the_video_shows(tmp_path: Path):
    """The way from a video to the avatar's motion is the same through a track and through a CSV."""
    video = write_driver(tmp_path / "v.mp4", 0.5 + 0.5 * np.sin(np.arange(40) / 3))
    report = take(video, tmp_path / "t.track", TakeSettings(csv="exact"), Silent())
    assert report.figures["frames"] == 40 and (tmp_path / "t.track.json").exists() and (tmp_path / "t.csv").exists()
    direct, *others = (
        open_driver(path, TrackSettings()).track("measured", CANONICAL, TrackSettings(), tmp_path / "work", Silent())
        for path in (video, tmp_path / "t.track", tmp_path / "t.csv")
    )
    for other in others:
        assert np.array_equal(other.expression, direct.expression) and other.rate_hz == direct.rate_hz
        assert np.allclose(other.world_from_head, direct.world_from_head, atol=1e-7) and other.valid.all()
        assert len(other.times_s) == 40 and other.length_s == pytest.approx(direct.length_s, abs=1e-3)


def test_a_take_can_be_the_csv_alone_and_nothing_foreign_is_replaced(tmp_path: Path):
    video = write_driver(tmp_path / "v.mp4", np.full(12, 0.5))
    take(video, tmp_path / "t.csv", TakeSettings(), Silent())
    assert (tmp_path / "t.csv").read_text().startswith("Timecode,") and not (tmp_path / "t.track").exists()
    with pytest.raises(SettingError, match="t.csv is not ours"):
        take(video, tmp_path / "t.track", TakeSettings(csv="exact"), Silent())
    with pytest.raises(SettingError, match="no track"):
        take(video, tmp_path / "t.mp4", TakeSettings(), Silent())


def test_a_second_face_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen = ScriptedTracker.track

    def not_alone(self: ScriptedTracker, image: np.ndarray, time_s: float | None = None):
        face = seen(self, image)
        return replace(face, other=(0.0, 0.0, 20.0, 20.0)) if face is not None else None

    monkeypatch.setattr(ScriptedTracker, "track", not_alone)
    video = write_driver(tmp_path / "v.mp4", np.full(12, 0.5))
    report = take(video, tmp_path / "t.track", TakeSettings(), Silent())
    assert report.figures["crowded_frames"] == 12 and "second face" in report.warnings[0]


def test_a_folder_of_takes(tmp_path: Path):
    for name in ("b.csv", "b.mov", "a.track", "c.mp4", "notes.txt", ".hidden.csv"):
        (tmp_path / name).write_text("")
    assert [path.name for path in drivers_in(tmp_path)] == ["a.track", "b.csv", "c.mp4"]


def test_runs_of_lost_frames():
    valid = np.array([0, 1, 1, 0, 0, 1, 0], bool)
    assert losses(valid) == [(0, 1), (3, 5), (6, 7)]
    track = replace(moving(7), valid=valid, confidence=np.array([0, 1, 0.1, 0, 0, 1, 0]))
    assert states(track, 0.1) == ["held", "tracked", "turned", "interpolated", "interpolated", "tracked", "held"]
    assert states(track, 0.05)[3] == "held"
