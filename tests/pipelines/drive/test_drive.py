"""The whole drive on a tiny avatar."""

import csv
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.avatar.canvas import Canvas
from pipelines.core.errors import MissingTool, SettingError, UnusableMaterial
from pipelines.core.files import read_image
from pipelines.core.stage import Silent
from pipelines.drive import DriveSettings, RetargetSettings, TrackSettings, drive, drive_all, recipe
from pipelines.drive.motion import follow_check, track
from pipelines.drive.motion.motion import Motion
from pipelines.drive.motion.record_track import TakeSettings, take
from pipelines.drive.render.output import make_background
from pipelines.drive.render.painter import Painter, portrait_of
from pipelines.face.livelink import write_livelink
from pipelines.face.track import save_track
from pipelines.media.encoder import write_video
from pipelines.media.open import open_container
from pipelines.media.video import probe, read_frames
from pipelines.provenance import manifest
from tests.pipelines.drive.scripted import ScriptedTracker, write_driver
from tests.pipelines.drive.takes import moving
from tests.tiny import ROOM, with_scene, write_tiny_avatar

SMALL = DriveSettings(size=32, segment=8, batch=3, track=TrackSettings(chunk=10))


def packets(path: Path) -> list[tuple[int, int | None, bytes]]:
    """Pictures and sound as they are stored."""
    with open_container(path) as container:
        return [(packet.stream.index, packet.pts, bytes(packet)) for packet in container.demux() if packet.size]


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    return write_tiny_avatar(tmp_path / "anna.avatar")


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    return write_driver(tmp_path / "driver.mp4", 0.5 + 0.5 * np.sin(np.arange(24) / 2))


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (track, follow_check):
        monkeypatch.setattr(module, "FaceTracker", ScriptedTracker)


def test_the_own_scene_beside_the_driver(tmp_path: Path, avatar: Path, driver: Path):
    asked = replace(SMALL, frame="source", size=64, side_by_side=True)
    report = drive(with_scene(avatar), driver, tmp_path / "out.mp4", asked, Silent())
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height) == (2 * 114, 64 + 8) and report.figures["size"] == 64
    picture = next(read_frames(tmp_path / "out.mp4")).image
    assert np.abs(picture[4, 118].astype(int) - ROOM).max() < 16 and (tmp_path / "out.preview.jpg").exists()


def test_a_video_with_its_record(tmp_path: Path, avatar: Path, driver: Path):
    report = drive(avatar, driver, tmp_path / "out.mp4", SMALL, Silent())
    info = probe(tmp_path / "out.mp4")
    assert (info.width, info.height, info.frames) == (32, 32, 24) and info.rate_hz == pytest.approx(10)
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["figures"]["frames"] == 24 and record["figures"]["lost_frames"] == 0
    assert set(record["seconds"]) == {"sound", "track", "retarget", "render", "join", "self_check", "provenance"}
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

    monkeypatch.setattr(Painter, "paint", dying)
    with pytest.raises(KeyboardInterrupt):
        drive(avatar, driver, tmp_path / "cut.mp4", SMALL, Silent())
    assert not (tmp_path / "cut.mp4").exists() and (tmp_path / "cut.mp4.partial" / "segments" / "000000.mp4").exists()
    (tmp_path / "cut.mp4.partial" / "segments" / ".000008.77.mp4").write_bytes(b"cut off")  # as kill -9 leaves it
    drive(avatar, driver, tmp_path / "cut.mp4", SMALL, Silent())
    assert painted == [0, 8, 8, 16]
    records = [json.loads((tmp_path / f"{name}.json").read_text())["figures"]["provenance"] for name in ("whole", "cut")]
    assert records[0]["unsigned_sha256"] == records[1]["unsigned_sha256"], "before signing the files are the same, byte by byte"
    assert packets(tmp_path / "cut.mp4") == packets(tmp_path / "whole.mp4")


def test_a_drive_that_is_killed_while_it_signs_signs_the_same_video(
    tmp_path: Path, avatar: Path, driver: Path, monkeypatch: pytest.MonkeyPatch
):
    def dying(source: Path, out: Path, definition: object):
        (out.parent / f".{out.stem}.77{out.suffix}").write_bytes(b"half")  # as kill -9 leaves it
        raise KeyboardInterrupt

    honest = manifest.sign
    monkeypatch.setattr(manifest, "sign", dying)
    with pytest.raises(KeyboardInterrupt):
        drive(avatar, driver, tmp_path / "out.mp4", SMALL, Silent())
    assert not (tmp_path / "out.mp4").exists()
    unsigned = (tmp_path / "out.mp4.partial" / "unsigned" / "out.mp4").read_bytes()
    monkeypatch.setattr(manifest, "sign", honest)
    monkeypatch.setattr(Painter, "paint", None)
    figures = drive(avatar, driver, tmp_path / "out.mp4", SMALL, Silent()).figures
    assert figures["provenance"]["unsigned_sha256"] == hashlib.sha256(unsigned).hexdigest()
    assert manifest.read_manifest(tmp_path / "out.mp4").state == "valid"
    assert not list(tmp_path.glob(".*")) and not (tmp_path / "out.mp4.partial").exists()


def test_a_driver_who_turns_further_than_the_capture_is_told(tmp_path: Path, avatar: Path):
    save_track(tmp_path / "turns.track", moving(150))
    free = drive(avatar, tmp_path / "turns.track", tmp_path / "free.mp4", SMALL, Silent())
    assert free.figures["turned_back_deg"] == 0 and not any("further than the capture" in said for said in free.warnings)
    record = json.loads((avatar / "avatar.json").read_text()) | {"view_limits": {"yaw_deg": [-1, 1], "pitch_deg": [-30, 30]}}
    (avatar / "avatar.json").write_text(json.dumps(record))
    held = drive(avatar, tmp_path / "turns.track", tmp_path / "held.mp4", SMALL, Silent())
    rows = list(csv.DictReader((tmp_path / "held.csv").open()))
    assert max(float(row["turned_back_deg"]) for row in rows) == held.figures["turned_back_deg"] > 1
    assert 0 < held.figures["turned_back_frames_share"] < 1
    assert any("further than the capture showed" in said for said in held.warnings)


def test_transparent_pictures(tmp_path: Path, avatar: Path, driver: Path):
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


@pytest.mark.parametrize(("beside", "transparent"), [(False, False), (True, False), (False, True)])
def test_the_trial_before_the_first_picture_is_as_large_as_the_result(
    tmp_path: Path, avatar: Path, driver: Path, monkeypatch: pytest.MonkeyPatch, beside: bool, transparent: bool
):
    shapes: list[tuple[int, ...]] = []
    monkeypatch.setattr(recipe, "rehearse", lambda folder, output, shape, *more: shapes.append(shape))
    asked = replace(SMALL, side_by_side=beside, background="transparent" if transparent else "#808080")
    drive(avatar, driver, out := tmp_path / ("out.webm" if transparent else "out.mp4"), asked, Silent())
    found = probe(out)
    assert shapes == [(found.height, found.width, 4 if transparent else 3)]


def test_what_is_odd_about_a_drivers_clock_is_said_and_kept(tmp_path: Path, avatar: Path, monkeypatch: pytest.MonkeyPatch):
    gray = (np.full((64, 96, 3), 140, np.uint8) for _ in range(24))
    write_video(tmp_path / "fast.mp4", gray, 120)
    progress, said = Silent(), list[str]()
    monkeypatch.setattr(progress, "warn", said.append)
    report = drive(avatar, tmp_path / "fast.mp4", tmp_path / "out.mp4", SMALL, progress)
    for warnings in (said, report.warnings):
        assert any("120 frames a second were lowered to 60" in text for text in warnings)
    assert report.figures["frames"] == 12


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
    from pipelines.artifacts.avatar import load_avatar

    loaded = load_avatar(avatar)
    random = np.random.default_rng(0)
    pose = loaded.frontal.world_from_camera[0].numpy()
    motion = Motion(
        expression=random.normal(size=(6, len(loaded.names))).astype(np.float32), world_from_camera=np.tile(pose, (6, 1, 1)),
        torso=np.zeros((6, 3)),
    )  # fmt: skip

    def painter(batch: int, precision: Literal["float32", "bfloat16"] = "float32") -> Painter:
        background = make_background("#102030", (32, 32))
        portrait = portrait_of(loaded, replace(SMALL, precision=precision))
        return Painter(portrait=portrait, canvas=Canvas.of_square(32), background=background, torso=None, batch=batch)

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


def test_beside_the_video_lie_a_row_a_frame_and_a_preview(tmp_path: Path, avatar: Path):
    jaw = np.full(30, 0.5)
    jaw[8:20] = np.nan
    drive(avatar, write_driver(tmp_path / "d.mp4", jaw), tmp_path / "out.mp4", SMALL, Silent())
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert len(rows) == 30 and rows[10]["state"] == "held" and rows[10]["flagged"] == "1" and rows[2]["state"] == "tracked"
    preview = read_image(tmp_path / "out.preview.jpg")
    assert preview.shape == (332, 1280, 3)
    red, green = preview[-6, 1280 * 14 // 30].astype(int), preview[-6, 40].astype(int)
    assert red[0] > red[1] + 80 and green[1] > green[0] + 50
    assert json.loads((tmp_path / "out.json").read_text())["beside"] == ["out.csv", "out.preview.jpg"]


def test_a_foreign_csv_is_not_replaced(tmp_path: Path, avatar: Path, driver: Path):
    (tmp_path / "out.csv").write_text("my own table")
    with pytest.raises(SettingError, match="out.csv was not made by avatarcli"):
        drive(avatar, driver, tmp_path / "out.mp4", SMALL, Silent())
    assert (tmp_path / "out.csv").read_text() == "my own table" and not (tmp_path / "out.mp4.partial").exists()


def test_a_track_and_a_csv_of_it_drive_as_the_video_does(tmp_path: Path, avatar: Path, driver: Path):
    take(driver, tmp_path / "take.track", TakeSettings(csv="exact"), Silent())
    for name in ("driver.mp4", "take.track", "take.csv"):
        drive(avatar, tmp_path / name, tmp_path / "out" / f"{name}.mp4", SMALL, Silent())
    videos = [packets(tmp_path / "out" / f"{name}.mp4") for name in ("driver.mp4", "take.track", "take.csv")]
    assert videos[0] == videos[1]
    pictures = [np.stack([frame.image for frame in read_frames(tmp_path / "out" / f"{name}.mp4")]).astype(int)
                for name in ("driver.mp4", "take.csv")]  # fmt: skip
    assert len(pictures[0]) == 24 and np.abs(pictures[0] - pictures[1]).max() <= 3


def test_the_driver_beside_the_avatar(tmp_path: Path, avatar: Path, driver: Path):
    settings = replace(SMALL, side_by_side=True, background="blur")
    drive(avatar, driver, tmp_path / "both.mp4", settings, Silent())
    drive(avatar, driver, tmp_path / "alone.mp4", replace(SMALL, background="blur"), Silent())
    info = probe(tmp_path / "both.mp4")
    assert (info.width, info.height, info.frames) == (64, 40, 24)
    shown = [frame.image.astype(int) for frame in read_frames(tmp_path / "both.mp4")]
    sources = [frame.image for frame in read_frames(driver)]
    for index in (0, 5, 20):
        assert shown[index][12:20, 8:24].mean() == pytest.approx(sources[index].mean(), abs=4)
    alone = next(read_frames(tmp_path / "alone.mp4", indices={7})).image.astype(int)
    assert np.abs(shown[7][:32, 32:] - alone).mean() < 4


def test_a_folder_of_drivers_makes_a_video_each_and_says_what_cannot_be_used(tmp_path: Path, avatar: Path, driver: Path):
    takes = tmp_path / "takes"
    takes.mkdir()
    driver.rename(takes / "b.mp4")
    take(takes / "b.mp4", takes / "a.csv", TakeSettings(), Silent())
    reports = drive_all(avatar, takes, tmp_path / "out", SMALL, Silent())
    assert [report.out.name for report in reports] == ["a.mp4", "b.mp4"] and (tmp_path / "out" / "a.preview.jpg").exists()
    (takes / "c.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UnusableMaterial, match="1 of 3 drivers cannot be used: c.csv"):
        drive_all(avatar, takes, tmp_path / "out", SMALL, Silent())
    with pytest.raises(SettingError, match="give a folder"):
        drive_all(avatar, takes, tmp_path / "out.mp4", SMALL, Silent())


def test_another_rate_and_another_sound(tmp_path: Path, avatar: Path, driver: Path):
    import subprocess

    import imageio_ffmpeg

    tone = ["-v", "error", "-f", "lavfi", "-i", "sine=duration=5", str(tmp_path / "tone.wav")]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), *tone], check=True)
    settings = replace(SMALL, sound=str(tmp_path / "tone.wav"), track=replace(SMALL.track, rate_hz=25))
    report = drive(avatar, driver, tmp_path / "out.mp4", settings, Silent())
    info = probe(tmp_path / "out.mp4")
    assert info.frames == 60 and info.rate == 25 and info.has_audio and report.figures["sound"]
    with open_container(tmp_path / "out.mp4") as container:
        assert container.duration is not None and abs(container.duration / 1e6 - 2.4) < 0.05
    with pytest.raises(SettingError, match="driver.mp4 has no sound"):
        drive(avatar, driver, tmp_path / "b.mp4", replace(SMALL, sound=str(driver)), Silent())
    drive(avatar, driver, tmp_path / "b.mov", replace(settings, sound="none", background="transparent"), Silent())
    assert not probe(tmp_path / "b.mov").has_audio and probe(tmp_path / "b.mov").codec == "prores"


def test_what_numbers_cannot_give_is_said_before_anything_is_written(tmp_path: Path, avatar: Path):
    write_livelink(tmp_path / "a.csv", moving())
    before = set(tmp_path.iterdir())
    for settings, said in [
        (replace(SMALL, side_by_side=True), "side-by-side needs the driver's pictures"),
        (replace(SMALL, background="blur"), "a.csv has none"),
        (replace(SMALL, retarget=RetargetSettings(neutral_s=9.0)), "the driver is 2.00 s long"),
        (replace(SMALL, view="sideways"), "sideways"),
    ]:
        with pytest.raises(SettingError, match=said):
            drive(avatar, tmp_path / "a.csv", tmp_path / "out.mp4", settings, Silent())
    assert set(tmp_path.iterdir()) == before


def test_a_profile_is_refused_with_a_hint(tmp_path: Path, avatar: Path, driver: Path, monkeypatch: pytest.MonkeyPatch):
    seen = ScriptedTracker.track

    def from_the_side(self: ScriptedTracker, image: np.ndarray, time_s: float | None = None):
        turned = self.canonical @ Rotation.from_euler("Y", 80, degrees=True).as_matrix().T
        honest, self.canonical = self.canonical, turned
        face = seen(self, image)
        self.canonical = honest
        return face

    monkeypatch.setattr(ScriptedTracker, "track", from_the_side)
    with pytest.raises(UnusableMaterial, match="turned away by .* degrees"):
        drive(avatar, driver, tmp_path / "out.mp4", SMALL, Silent())


def write_uneven(path: Path, times_ms: list[int], jaw: list[float]) -> Path:
    """A video with frames at given times and a tone of the same length."""
    from fractions import Fraction

    import av

    with av.open(str(path), "w") as container:
        pictures, sound = container.add_stream("libx264", rate=30), container.add_stream("aac", rate=48000)
        pictures.width, pictures.height, pictures.pix_fmt = 96, 64, "yuv420p"
        pictures.time_base = pictures.codec_context.time_base = Fraction(1, 1000)
        for time_ms, value in zip(times_ms, jaw, strict=True):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), round(40 + 200 * value), np.uint8), format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode())
        for block in range(int(times_ms[-1] * 48 // 1024) + 1):
            wave = np.sin(np.arange(1024) * 0.05)[None].astype(np.float32)
            samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48000, 1024 * block
            container.mux(sound.encode(samples))
        container.mux(sound.encode())
    return path


def test_an_uneven_driver_keeps_its_length_its_sound_and_its_moments(tmp_path: Path, avatar: Path):
    random = np.random.default_rng(0)
    steps = random.choice([20, 33, 40, 55], 60).tolist()
    steps[30] = 400  # dropped frames
    times = np.concatenate([[0], np.cumsum(steps)]).tolist()
    jaw = [0.5 + 0.4 * np.sin(time / 300) for time in times]
    video = write_uneven(tmp_path / "uneven.mp4", times, jaw)
    source = probe(video)
    drive(avatar, video, tmp_path / "out.mp4", SMALL, Silent())
    info = probe(tmp_path / "out.mp4")
    assert info.duration_s == pytest.approx(source.duration_s, abs=1 / info.rate_hz) and info.has_audio
    with open_container(tmp_path / "out.mp4") as container:
        heard = container.streams.audio[0]
        assert heard.duration is not None
        assert float(heard.duration * heard.time_base) == pytest.approx(info.duration_s, abs=1 / info.rate_hz)
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    states = {row["state"] for row in rows if times[30] / 1000 + 0.06 < float(row["time_s"]) < times[31] / 1000 - 0.06}
    assert states == {"interpolated"} and rows[5]["state"] == "tracked" and len(rows) == info.frames


def test_one_picture_drives_a_film_of_one_pose_or_a_still(tmp_path: Path, avatar: Path):
    from pipelines.core.files import write_image

    write_image(tmp_path / "photo.png", np.full((64, 96, 3), 200, np.uint8))
    write_driver(tmp_path / "one.mp4", np.array([0.8]))
    for name in ("photo.png", "one.mp4"):
        drive(avatar, tmp_path / name, tmp_path / f"{name}.mp4", SMALL, Silent())
        assert probe(tmp_path / f"{name}.mp4").frames == 1
        drive(avatar, tmp_path / name, tmp_path / f"{name[:3]} stills", SMALL, Silent())
        assert [path.name for path in (tmp_path / f"{name[:3]} stills").rglob("*.png")] == ["000000.png"]
    drive(avatar, tmp_path / "photo.png", tmp_path / "out.mp4", SMALL, Silent())
    drive(avatar, tmp_path / "photo.png", tmp_path / "out.png", SMALL, Silent())
    drive(avatar, tmp_path / "photo.png", tmp_path / "clear.png", replace(SMALL, background="transparent"), Silent())
    assert read_image(tmp_path / "out.png").shape == (32, 32, 3) and read_image(tmp_path / "clear.png").shape == (32, 32, 4)
    assert drive(avatar, tmp_path / "photo.png", tmp_path / "out.png", SMALL, Silent()).status == "unchanged"
    write_driver(tmp_path / "many.mp4", np.full(9, 0.5))
    with pytest.raises(SettingError, match="many.mp4 has 9 frames; .* name a folder"):
        drive(avatar, tmp_path / "many.mp4", tmp_path / "many.png", SMALL, Silent())
    assert not list(tmp_path.glob("*.partial"))


def test_a_line_break_in_the_results_name_is_refused_before_any_work(tmp_path: Path, avatar: Path, driver: Path):
    with pytest.raises(SettingError, match="control character"):
        drive(avatar, driver, tmp_path / "a\nb.mp4", SMALL, Silent())
    with pytest.raises(SettingError, match="not text in UTF-8"):
        drive(avatar, driver, tmp_path / os.fsdecode(b"\xff.mp4"), SMALL, Silent())


@pytest.mark.parametrize("name", ["10:30.mp4", "file:x.mp4", "concat:a|b.webm"])
def test_results_with_names_of_protocols(
    tmp_path: Path, avatar: Path, driver: Path, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    drive(avatar, driver, Path(name), SMALL, Silent())
    assert probe(Path(name)).frames == 24 and not list(tmp_path.glob("*.partial"))


def test_backgrounds_that_move_whatever_they_are_called(tmp_path: Path, avatar: Path, driver: Path):
    from PIL import Image

    colors = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    for ending in ("gif", "webp"):
        back = tmp_path / f"back.{ending}"
        colors[0].save(back, save_all=True, append_images=colors[1:], duration=500, loop=0)
        drive(avatar, driver, tmp_path / f"{ending}.mp4", replace(SMALL, background=str(back)), Silent())
        frames = [frame.image[2, 2].astype(int) for frame in read_frames(tmp_path / f"{ending}.mp4")]
        assert frames[1][0] > 150 > frames[1][2] and frames[7][2] > 150 > frames[7][0]
