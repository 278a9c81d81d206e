from pathlib import Path

import pytest

from tests import material


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AVATARCLI_SHARED", raising=False)
    monkeypatch.setattr(material, "SHARED", tmp_path / "shared")
    return tmp_path / "shared"


def test_what_is_there_is_handed_out(beside: Path) -> None:
    beside.mkdir()
    (beside / "a").touch()
    assert material.shared("a") == beside / "a"


def test_a_missing_file_skips_on_a_desk(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    beside.mkdir()
    with pytest.raises(pytest.skip.Exception, match="needs .*/shared/golden.npz"):
        material.shared("golden.npz")


@pytest.mark.parametrize("named", [True, False])
def test_a_missing_file_fails_in_ci(beside: Path, monkeypatch: pytest.MonkeyPatch, named: bool) -> None:
    monkeypatch.setenv("CI", "true")
    if named:
        monkeypatch.setenv("AVATARCLI_SHARED", str(beside))
    else:
        beside.mkdir()
    with pytest.raises(pytest.fail.Exception, match="golden.npz"):
        material.shared("golden.npz")


def test_without_the_folder_ci_skips_too(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.skip.Exception):
        material.shared("golden.npz")
