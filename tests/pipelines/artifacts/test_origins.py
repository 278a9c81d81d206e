"""The captures of an avatar are known by their content."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.artifacts.avatar_record import load_avatar_record, save_avatar_record
from pipelines.artifacts.origins import Origin, captures_beside, find_origin, origin_of, origins_of
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_json, write_json
from tests.folders import write_avatar

ANNA = Origin(name="anna.capture", fingerprint="a" * 64)


def capture(folder: Path, fingerprint: str) -> Path:
    write_json(folder / "stage.json", {"fingerprint": fingerprint})
    write_json(
        folder / "capture.json", {"schema": 2, "settings": {"mattes": {"model": "u2net"}}, "camera": {"method": "landmarks"}}
    )
    return folder


def test_a_renamed_capture_is_found_and_another_of_its_name_is_not(tmp_path: Path) -> None:
    avatar = tmp_path / "anna.avatar"
    capture(tmp_path / "anna.capture", "b" * 64)
    assert find_origin(ANNA, captures_beside(avatar, name=ANNA.name)) is None
    renamed = capture(tmp_path / "renamed.capture", "a" * 64)
    assert find_origin(ANNA, captures_beside(avatar, name=ANNA.name)) == renamed
    assert list(captures_beside(avatar, avatar, name="x")) == [tmp_path / "x", tmp_path / "anna.capture", renamed]


def test_origins_are_written_and_read(tmp_path: Path) -> None:
    first = origin_of(capture(tmp_path / "anna.capture", "a" * 64))
    assert (first.mattes, first.cameras, str(first)) == ("u2net", "landmarks", "anna.capture (aaaaaaaa)")
    avatar, second = write_avatar(tmp_path / "anna.avatar"), Origin(name="b", fingerprint="b")
    save_avatar_record(avatar, replace(load_avatar_record(avatar), capture=first, added=(second,)))
    assert origins_of(avatar) == [first, second]
    record = read_json(avatar / "avatar.json")
    for capture_part, said in ((None, "has no `capture`"), ({"name": "a"}, r"has no `capture\.fingerprint`")):
        write_json(avatar / "avatar.json", {**record, "capture": capture_part})
        with pytest.raises(UnusableMaterial, match=said):
            origins_of(avatar)
