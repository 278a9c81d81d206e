"""`avatarcli track` and the drivers that `drive` takes, on the packaged clips."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.demo import demo_clips
from pipelines.face.track import load_track
from tests.avatarcli.cli import avatarcli
from tests.pipelines.drive.takes import codes, iphone_csv
from tests.tiny import write_tiny_avatar


@pytest.mark.slow
def test_a_take_of_the_demos_driver_follows_its_truth(tmp_path: Path) -> None:
    from pipelines.demo import load_truth, truth_path

    clip = demo_clips().driver
    done = avatarcli("track", clip, "-o", tmp_path / "take.track", "--csv", "--json", timeout=300)
    assert done.returncode == 0, done.stderr
    figures, truth = json.loads(done.stdout)["figures"], load_truth(truth_path(clip))
    track = load_track(tmp_path / "take.track")
    assert figures["frames"] == len(truth.times_s) == len(track.times_s)
    jaw, true = track.expression[:, track.names.index("jawOpen")], truth.weights[:, truth.names.index("jawOpen")]
    assert np.corrcoef(jaw, true)[0, 1] > 0.8
    assert (tmp_path / "take.csv").read_text().startswith("Timecode,BlendShapeCount,EyeBlinkLeft")


def test_numbers_drive_an_avatar(tmp_path: Path) -> None:
    avatar = write_tiny_avatar(tmp_path / "tiny.avatar")
    times = np.arange(90) / 60
    take = iphone_csv(tmp_path / "take.csv", codes(times), (0.5 + 0.4 * np.sin(4 * times)).tolist())
    words = ("drive", avatar, "--video", take, "--device", "cpu", "--size", "32", "--neutral", "0.5", "--view", "turntable")
    done = avatarcli(*words, "--set", "self_check=false", "-o", tmp_path / "out" / "a.mp4", "--json")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert figures["frames"] == 90 and figures["rate_hz"] == 60 and not figures["sound"]
    assert "frames/s rendered" in done.stderr and (tmp_path / "out" / "a.csv").exists()


@pytest.mark.parametrize(
    ("name", "text", "words", "code", "said"),
    [
        ("a.csv", "x,y\n1,2\n", (), 4, "its columns are x, y; Timecode is missing"),
        ("a.npz", "", (), 4, "a.npz cannot be read"),
        ("a.track", "hello", (), 4, "a.track cannot be read"),
        ("a.csv", "", ("--neutral", "soon"), 2, "--neutral"),
    ],
)
def test_bad_drivers_are_one_sentence(
    tmp_path: Path, name: str, text: str, words: tuple[str, ...], code: int, said: str
) -> None:
    avatar = write_tiny_avatar(tmp_path / "tiny.avatar")
    (tmp_path / name).write_text(text)
    out = tmp_path / "out.mp4"
    done = avatarcli("drive", avatar, "--video", tmp_path / name, "-o", out, "--device", "cpu", *words)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.glob("out*"))


def test_live_says_how_fast_it_was_and_where_pictures_can_go(tmp_path: Path) -> None:
    avatar, clip = write_tiny_avatar(tmp_path / "tiny.avatar"), demo_clips().driver
    words = ("drive", avatar, "--video", clip, "--live", "--size", "32", "--device", "cpu", "--set", "live.seconds=1")
    env = {"DISPLAY": "", "WAYLAND_DISPLAY": ""}
    before = "import sys; sys.modules['pyvirtualcam'] = None"
    done = avatarcli(*words, before=before, env=env)
    assert done.returncode == 3 and "pip install pyvirtualcam" in done.stderr, done.stderr
    done = avatarcli(*words, "-o", tmp_path / "out.mp4", "--json", before=before, env=env)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)["figures"]
    assert "frames dropped" in done.stderr and figures["shown"] >= 1 and figures["latency_ms"] > 0
    assert (tmp_path / "out.mp4").exists()
    assert avatarcli("drive", avatar, "--video", clip).returncode == 2
