"""What all tests stand on: few threads, and no weights or caches of the person who runs them."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line does: spinning threads crawl on a busy machine
os.environ.setdefault("GLOG_minloglevel", "3")


@pytest.fixture(autouse=True)
def no_foreign_weights(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optional weights of this machine must not change what a test sees; tests that want them set the variable."""
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path_factory.getbasetemp() / "no-weights"))


@pytest.fixture(autouse=True)
def own_identity(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests sign with a key of their own."""
    monkeypatch.setenv("AVATARCLI_CONFIG", str(tmp_path_factory.getbasetemp() / "config"))


@pytest.fixture
def capture_folder(tmp_path: Path) -> Path:
    from tests.folders import write_capture

    return write_capture(tmp_path / "anna.capture")


@pytest.fixture
def avatar_folder(tmp_path: Path) -> Path:
    from tests.folders import write_avatar

    return write_avatar(tmp_path / "anna.avatar")
