"""The examples run as their first lines say."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.batch import load_batch
from pipelines.media.video import probe
from tests.avatarcli.cli import ROOT, environment
from tests.tiny import write_tiny_avatar


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    return write_tiny_avatar(tmp_path / "tiny.avatar")


def example(name: str, *words: str | Path) -> str:
    command = [sys.executable, ROOT / "examples" / name, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment(), timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 40


def test_expression_sweep(avatar: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep.mp4"
    assert "120 frames" in example("expression_sweep.py", avatar, out)
    assert probe(out).frames == 120


def test_drive_from_python(avatar: Path, tmp_path: Path) -> None:
    from pipelines.demo import demo_clips

    driver = demo_clips().driver
    out = example("drive_from_python.py", avatar, tmp_path / "out", driver)
    assert "done" in out
    assert probe(tmp_path / "out" / f"{driver.stem}.mp4").frames == probe(driver).frames
    assert "unchanged" in example("drive_from_python.py", avatar, tmp_path / "out", driver)


def test_the_jobs_file_is_one() -> None:
    anna, ben = load_batch(ROOT / "examples" / "batch.toml").jobs
    assert anna.drive == ben.drive
    assert ben.settings == {"train": {"torso": "still"}, "drive": {"view": "orbit", "background": "#202830"}}


def test_run_batch(tmp_path: Path) -> None:
    """Rows without footage fail with a sentence each and do not stop the others."""
    jobs = tmp_path / "batch.toml"
    jobs.write_text((ROOT / "examples" / "batch.toml").read_text())
    *rows, last = example("run_batch.py", jobs).splitlines()
    assert last == "anna failed, ben failed"
    assert rows[0].startswith("anna: exit code 4") and "anna.mp4" in rows[0]


def test_fit_adapter(tmp_path: Path) -> None:
    import numpy as np

    from pipelines.core.files import write_arrays
    from pipelines.drive.motion.coefficients import load_adapter
    from pipelines.face.track import save_track
    from tests.pipelines.drive.takes import moving

    save_track(tmp_path / "me.track", moving(300))
    mix = np.random.default_rng(0).normal(size=(27, 50))
    write_arrays(tmp_path / "flame.npz", expression=moving(300).expression @ mix, fps=np.array(30.0))
    said = example("fit_adapter.py", tmp_path / "flame.npz", tmp_path / "me.track", tmp_path / "a.adapter.npz")
    assert "jawOpen" in said and len(load_adapter(tmp_path / "a.adapter.npz").names) == 27
