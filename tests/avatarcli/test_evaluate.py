"""The command `evaluate` on small folders: what it prints, what it leaves, and its exit codes."""

import json
from pathlib import Path

import pytest

from pipelines.core.files import read_json, write_json
from tests.avatarcli.cli import avatarcli
from tests.tiny import write_tiny_avatar
from tests.worlds import write_solid_capture


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_solid_capture(tmp_path / "a.capture")
    record = read_json(write_tiny_avatar(tmp_path / "anna.avatar") / "avatar.json")
    write_json(tmp_path / "anna.avatar" / "avatar.json", {**record, "capture": {"fingerprint": "a" * 64, "name": "a.capture"}})
    return tmp_path


def test_a_page_and_one_json_object(place: Path) -> None:
    done = avatarcli("evaluate", place / "anna.avatar", "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    out = place / "anna.evaluation"
    assert (result["status"], result["out"]) == ("done", str(out))
    assert result["figures"] == read_json(out / "evaluation.json") and result["figures"]["lpips"]["avatar"] is None
    assert (out / "report.html").read_text().startswith("<!doctype html>")
    assert "in only 0 of 3 renders" in done.stderr, "random networks draw no faces"
    quiet = avatarcli("evaluate", place / "anna.avatar", "--device", "cpu", "--quiet")
    assert (quiet.returncode, quiet.stdout.strip(), quiet.stderr) == (0, str(out), "")


def test_folders_that_do_not_belong_together_exit_with_4(place: Path) -> None:
    record = read_json(place / "a.capture" / "stage.json")
    write_json(place / "a.capture" / "stage.json", {**record, "fingerprint": "b" * 64})
    for words, said in (([place / "a.capture"], "not of a.capture"), ([], "is not next to it")):
        done = avatarcli("evaluate", place / "anna.avatar", *words, "--device", "cpu")
        assert done.returncode == 4
        assert said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert not list(place.glob("*.evaluation*"))
