"""An avatar, a capture and a film in each other's place: one sentence that says what it is and what belongs there."""

import re
from pathlib import Path

import pytest

from pipelines.artifacts.avatar_record import load_avatar_record
from pipelines.artifacts.capture_record import load_capture_record, load_dataset_record
from pipelines.artifacts.kinds import insist_kind, kind_of
from pipelines.capture.footage.source import open_footage
from pipelines.core.errors import AvatarError, UnusableMaterial
from tests.avatarcli.cli import avatarcli
from tests.material import DEMO


def test_a_folder_is_known_by_its_record(avatar_folder: Path, capture_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    kinds = {"avatar": avatar_folder, "capture": capture_folder, None: tmp_path / "letters"}
    assert [kind_of(path) for path in kinds.values()] == list(kinds)
    assert kind_of(DEMO) is None and kind_of(tmp_path / "none") is None
    insist_kind(avatar_folder, "avatar")
    insist_kind(tmp_path / "none", "avatar")


@pytest.mark.parametrize(("name", "what"), [("film.mp4", "a file"), ("anna.capture", "a capture")])
def test_what_is_no_avatar(capture_folder: Path, name: str, what: str) -> None:
    path = capture_folder.parent / name
    if not path.exists():
        path.write_bytes(b"film")
    with pytest.raises(UnusableMaterial, match=f"{re.escape(name)} is {what}, not an avatar; make one with `avatarcli train"):
        load_avatar_record(path)


@pytest.mark.parametrize("load", [load_dataset_record, load_capture_record])
@pytest.mark.parametrize(("name", "what"), [("film.mp4", "a file"), ("anna.avatar", "an avatar")])
def test_what_is_no_capture(avatar_folder: Path, name: str, what: str, load) -> None:
    path = avatar_folder.parent / name
    if not path.exists():
        path.write_bytes(b"film")
    with pytest.raises(UnusableMaterial, match=f"{re.escape(name)} is {what}, not a capture; make one with `avatarcli capture"):
        load(path)


def test_neither_is_footage(avatar_folder: Path, capture_folder: Path) -> None:
    with pytest.raises(UnusableMaterial, match="is an avatar, not footage"):
        open_footage([avatar_folder], 720)
    with pytest.raises(AvatarError, match="belongs to a capture"):
        open_footage([capture_folder], 720)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("train FILM -o x.avatar", "is a file, not a capture"), ("train AVATAR -o x.avatar", "is an avatar, not a capture"),
        ("drive FILM --video FILM -o x.mp4", "is a file, not an avatar"),
        ("drive CAPTURE --video FILM -o x.mp4", "is a capture, not an avatar"),
        ("evaluate FILM", "is a file, not an avatar"), ("evaluate CAPTURE", "is a capture, not an avatar"),
        ("run AVATAR --drive FILM -o x", "is an avatar, not footage"),
        ("run FILM --drive AVATAR -o x", "is a folder; give a video"),
    ],
)  # fmt: skip
def test_the_command_line_says_it_and_leaves_nothing(
    avatar_folder: Path, capture_folder: Path, tmp_path: Path, words: str, what: str
) -> None:
    names = {"FILM": DEMO, "AVATAR": avatar_folder, "CAPTURE": capture_folder}
    before = sorted(tmp_path.iterdir())
    done = avatarcli(*(tmp_path / word if word[:1] == "x" else names.get(word, word) for word in words.split()))
    assert done.returncode == 4, done.stderr
    assert what in done.stderr and done.stderr.count("error:") == 1 and "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before
