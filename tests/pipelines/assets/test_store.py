from pathlib import Path

import pytest

from pipelines.assets.store import find_weight, how_to_get, weights_folder
from pipelines.core.errors import MissingTool
from tests.material import shared

NAME = "face_landmarker.task"


def test_the_folder_is_the_variables_or_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path))
    assert weights_folder() == tmp_path
    monkeypatch.delenv("AVATARCLI_WEIGHTS")
    assert weights_folder() == Path.home() / ".cache" / "avatarcli" / "weights"


def test_not_there_is_none_and_the_way_to_get_it_names_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path))
    assert find_weight(NAME) is None
    assert str(tmp_path) in how_to_get(NAME)


def test_another_file_of_that_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path))
    (tmp_path / NAME).write_bytes(b"something else")
    with pytest.raises(MissingTool, match="sha256"):
        find_weight(NAME)


def test_the_true_file_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared(f"weights/{NAME}")
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(path.parent))
    assert find_weight(NAME) == path
