"""Material that cannot be used: one clear sentence, the right exit code, nothing half-written."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipelines.demo import demo_clips
from pipelines.media.encoder import write_video
from tests.avatarcli.cli import avatarcli, command, environment
from tests.folders import drawn


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import imageio_ffmpeg

    folder = tmp_path_factory.mktemp("material")
    (folder / "text.mp4").write_text("this is not a video\n")
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "folder.mp4").mkdir()
    write_video(folder / "short.mp4", (drawn(128, 0.0)[0] for _ in range(9)), 30)
    stripes = np.repeat(np.linspace(0, 255, 192)[None, :, None], 128, axis=0).repeat(3, axis=2).astype(np.uint8)
    write_video(folder / "noface.mp4", (np.roll(stripes, 3 * shift, axis=1) for shift in range(90)), 30)
    sound = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=2", str(folder / "audio.mp4")]
    subprocess.run(sound, check=True)
    return folder


def one_sentence(stderr: str) -> str:
    """The error line; there is exactly one, and no traceback."""
    assert "Traceback" not in stderr
    errors = [line for line in stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, stderr
    return errors[0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.mp4", "missing.mp4"),
        ("text.mp4", "text.mp4"),
        ("zero.mp4", "zero.mp4"),
        ("folder.mp4", "folder.mp4"),
        ("audio.mp4", "audio"),
        ("short.mp4", "short.mp4"),
        ("noface.mp4", "face"),
    ],
)
def test_footage_that_cannot_be_used(material: Path, tmp_path: Path, name: str, said: str) -> None:
    out = tmp_path / "a.capture"
    done = avatarcli("capture", material / name, "-o", out)
    assert done.returncode == 4, done.stderr
    assert said in one_sentence(done.stderr)
    assert done.stdout == ""
    assert not out.exists()


def test_an_output_that_cannot_be_written(material: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = avatarcli("capture", material / "noface.mp4", "-o", tmp_path / "file" / "a.capture")
    assert done.returncode == 2
    assert "cannot write" in one_sentence(done.stderr)


def test_an_output_that_is_something_else(material: Path, tmp_path: Path) -> None:
    out = tmp_path / "letters"
    out.mkdir()
    (out / "to-mother.txt").write_text("dear")
    for words in ((), ("--overwrite",)):
        done = avatarcli("capture", material / "noface.mp4", "-o", out, *words)
        assert done.returncode == 2
        assert "was not made by" in one_sentence(done.stderr)
    assert (out / "to-mother.txt").read_text() == "dear"


@pytest.mark.parametrize(("words", "code"), [(["train"], 4), (["drive", "--video", "zero.mp4"], 4), (["evaluate"], 4)])
def test_folders_that_are_not_there(material: Path, tmp_path: Path, words: list[str], code: int) -> None:
    name, *rest = words
    target = ["-o", tmp_path / "out.mp4"] if name != "evaluate" else [tmp_path / "b.capture"]
    done = avatarcli(name, tmp_path / "none", *target, *(material / word if word.endswith(".mp4") else word for word in rest))
    assert done.returncode == code, done.stderr
    assert "none" in one_sentence(done.stderr)


def test_an_unknown_setting_and_preset(material: Path, tmp_path: Path) -> None:
    done = avatarcli("capture", material / "noface.mp4", "-o", tmp_path / "a", "--set", "frames.max_frame=3")
    assert done.returncode == 2
    assert "frames.max_frames" in one_sentence(done.stderr)
    done = avatarcli("train", tmp_path / "none", "-o", tmp_path / "a", "--preset", "fast")
    assert done.returncode == 2
    assert "quick, workstation, paper" in one_sentence(done.stderr)


def test_a_file_size_limit_is_one_sentence_and_the_next_call_continues(tmp_path: Path) -> None:
    video, out = demo_clips().capture, tmp_path / "a.capture"
    words = ("capture", video, "-o", out, "--cameras", "landmarks", "--set", "frames.max_frames=24")
    limited = ["bash", "-c", 'ulimit -f 40; exec "$@"', "bash", *command(*words)]
    done = subprocess.run(limited, capture_output=True, text=True, env=environment(), timeout=120)
    assert done.returncode == 1, done.stderr
    assert "File too large" in one_sentence(done.stderr)
    assert not out.exists()
    again = avatarcli(*words)
    assert again.returncode == 0, again.stderr
    assert not list(out.rglob(".*.png"))
