"""Any driver: recognized, read, brought to one rate."""

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.stage import Silent
from pipelines.drive.motion import track as tracking
from pipelines.drive.motion.driver_files import drivers_in, lowered, nearby, open_driver
from pipelines.drive.motion.record_track import TakeSettings, take
from pipelines.drive.motion.track import losses, states
from pipelines.drive.settings import TrackSettings
from pipelines.face.livelink import write_livelink
from pipelines.face.track import load_track, save_track
from tests.pipelines.drive.scripted import ScriptedTracker, write_driver
from tests.pipelines.drive.takes import moving
from tests.pipelines.media.test_video import with_sound

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


def test_an_ending_in_capitals_is_the_same_ending(tmp_path: Path):
    """A track's rows without a face are as they were; those of other tables are filled anew."""
    track = moving()
    track = replace(track, valid=np.arange(len(track.valid)) % 7 != 3)
    found = []
    for name in ("a.track", "B.TRACK"):
        save_track(tmp_path / name, track)
        driver = open_driver(tmp_path / name, TrackSettings())
        found.append(driver.track("measured", CANONICAL, TrackSettings(), tmp_path / "work", Silent()).expression)
    assert np.array_equal(*found)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 torn"])
def test_what_is_no_track_is_one_sentence(tmp_path: Path, content: bytes):
    (tmp_path / "a.track").write_bytes(content)
    with pytest.raises(UnusableMaterial, match="a.track"):
        open_driver(tmp_path / "a.track", TrackSettings())


def test_arrays_of_something_else_are_no_track(tmp_path: Path):
    from pipelines.core.files import write_arrays

    write_arrays(tmp_path / "a.track", expression=np.zeros((3, 4)))
    with pytest.raises(UnusableMaterial, match="not a track .it has no space."):
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
    with pytest.raises(SettingError, match="t.csv was not made by avatarcli"):
        take(video, tmp_path / "t.track", TakeSettings(csv="exact"), Silent())
    with pytest.raises(SettingError, match="must end in .track"):
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


HOSTILE = {
    "rate 0": {"rate_hz": np.array(0.0)},
    "rate nan": {"rate_hz": np.array(np.nan)},
    "rate huge": {"rate_hz": np.array(1e6)},
    "rates": {"rate_hz": np.array([30.0, 30.0])},
    "text for a rate": {"rate_hz": np.array("30")},
    "rows differ": {"expression": np.zeros((3, 27), np.float32)},
    "channels differ": {"expression": np.zeros((60, 3), np.float32)},
    "no rows": {"times_s": np.zeros(0), "valid": np.zeros(0, bool), "confidence": np.zeros(0)},
    "backwards": {"times_s": np.arange(60)[::-1] / 30},
    "standing": {"times_s": np.zeros(60)},
    "times nan": {"times_s": np.full(60, np.nan)},
    "a year": {"times_s": np.arange(60) * 1e6},
    "zero poses": {"world_from_head": np.zeros((60, 4, 4))},
    "poses nan": {"world_from_head": np.full((60, 4, 4), np.nan)},
    "mirrored": {"world_from_head": np.tile(np.diag([-1.0, 1, 1, 1]), (60, 1, 1))},
    "behind": {"world_from_head": np.tile(np.eye(4) - 2 * np.eye(4, k=1) * np.array([0, 0, 0, 1]), (60, 1, 1))},
    "negative length": {"duration_s": np.array(-5.0)},
    "too short": {"duration_s": np.array(0.5)},
    "endless": {"duration_s": np.array(1e9)},
    "huge scores": {"expression": np.full((60, 27), 1e30, np.float32)},
    "text": {"expression": np.full((60, 27), "a")},
    "confidence": {"confidence": np.full(60, 7.0)},
    "twice": {"names": np.array(["jawOpen"] * 27)},
    "numbers as names": {"names": np.arange(27)},
    "many spaces": {"space": np.array(["measured"] * 4)},
    "unheard of": {"space": np.array("moods")},
    "valid": {"valid": np.array("yes")},
    "schema": {"schema": np.array("x")},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_track_is_one_sentence(tmp_path: Path, kind: str):
    from pipelines.core.errors import AvatarError
    from pipelines.core.files import read_arrays, write_arrays
    from pipelines.drive.motion.driver_files import check_space

    save_track(tmp_path / "good.track", moving())
    values = read_arrays(tmp_path / "good.track")
    assert values["expression"].shape == (60, 27)
    write_arrays(tmp_path / "bad.track", **values | HOSTILE[kind])
    with pytest.raises(AvatarError) as raised:
        check_space(open_driver(tmp_path / "bad.track", TrackSettings()), "measured")
    assert raised.value.exit_code in (2, 4) and "\n" not in str(raised.value)


def test_the_folder_of_a_take_is_one_driver_with_the_sound_of_its_film(tmp_path: Path):
    name = "Slate_3_iPhone"
    for ending in ("_raw", "_cal", "_neutral"):
        write_livelink(tmp_path / f"{name}{ending}.csv", moving())
    (tmp_path / "frame_log.csv").write_text("V,0,10:15:30:00.000,60\n")
    (tmp_path / "take.json").write_text("{}")
    (tmp_path / "thumbnail.jpg").write_bytes(b"")
    film = with_sound(tmp_path / f"{name}.mov", 2.0, tmp_path / "..")
    (driver,) = drivers_in(tmp_path)
    assert driver.name == f"{name}_cal.csv" and open_driver(driver, TrackSettings()).sound == film
    driver.unlink()
    (other,) = drivers_in(tmp_path)
    assert other.name == f"{name}_raw.csv" and open_driver(other, TrackSettings()).sound == film


def test_fast_drivers_are_lowered_and_a_rate_that_is_asked_for_is_kept(tmp_path: Path):
    times = np.arange(60) / 240
    save_track(tmp_path / "a.track", replace(moving(), rate_hz=240.0, times_s=times))
    driver = open_driver(tmp_path / "a.track", TrackSettings())
    assert driver.rate == 60 and "240" in driver.remarks[0] and "track.rate_hz" in driver.remarks[0]
    kept = open_driver(tmp_path / "a.track", TrackSettings(rate_hz=240))
    assert kept.rate == 240 and not kept.remarks
    assert [lowered(Fraction(rate)) for rate in (30, 60, 100, 120, 90)] == [30, 60, 50, 60, 45]
    assert lowered(Fraction(120000, 1001)) == Fraction(60000, 1001)


def test_the_rate_that_a_lowered_driver_proposes_is_accepted(tmp_path: Path):
    save_track(tmp_path / "a.track", replace(moving(), rate_hz=480.0, times_s=np.arange(60) / 480))
    (remark,) = open_driver(tmp_path / "a.track", TrackSettings()).remarks
    (proposed,) = re.findall(r"track\.rate_hz=([\d.]+)", remark)
    assert open_driver(tmp_path / "a.track", TrackSettings(rate_hz=float(proposed))).rate == 240
