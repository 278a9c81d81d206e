"""Consent: what can be given, where it goes, and that it changes no fingerprint."""

import hashlib
from pathlib import Path

import pytest

from pipelines.core.errors import SettingError
from pipelines.core.files import read_json, write_json
from pipelines.provenance.consent import attach, carry, consent_in, consent_of, consent_sentence
from tests.avatarcli.cli import avatarcli
from tests.folders import write_avatar, write_capture


def test_a_sentence_with_a_name() -> None:
    found = consent_of("Anna Muster: I agree that an avatar of me is made: also of my voice.")
    assert found["who"] == "Anna Muster" and found["statement"] == "I agree that an avatar of me is made: also of my voice."
    assert found["clip_sha256"] is None and len(str(found["when"])) == 10
    assert consent_of("I agree.")["who"] is None and "without a name" in consent_sentence(consent_of("I agree."))


def test_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("Anna: I agree.\n")
    found = consent_of(str(tmp_path / "c.txt"))
    assert (found["who"], found["statement"]) == ("Anna", "I agree.")


def test_a_spoken_clip_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "c.wav").write_bytes(b"spoken")
    found = consent_of(str(tmp_path / "c.wav"))
    assert found["clip_sha256"] == hashlib.sha256(b"spoken").hexdigest() and found["statement"] is None
    assert "spoken clip" in consent_sentence(found)


def test_a_table_says_it_all(tmp_path: Path) -> None:
    (tmp_path / "c.wav").write_bytes(b"spoken")
    (tmp_path / "c.toml").write_text('who = "Anna"\nwhen = 2026-01-02\nstatement = "I agree."\nclip = "c.wav"\n')
    digest = hashlib.sha256(b"spoken").hexdigest()
    expected = {"who": "Anna", "when": "2026-01-02", "statement": "I agree.", "clip_sha256": digest}
    assert consent_of(str(tmp_path / "c.toml")) == expected
    assert consent_sentence(expected) == "consent of Anna, 2026-01-02, with a spoken clip"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nobody.wav", "no such file"), ("gone.toml", "no such file"), ("  ", "empty"), ("x" * 5000, "5000 characters"),
        ("Anna:", "empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_one(text: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        consent_of(text)


@pytest.mark.parametrize(
    ("table", "said"),
    [('whom = "A"', "no 'whom'"), ('clip = "c.wav"\n', "does not exist"), ("who =", "Invalid"), ('who = "A"', "empty")],
)
def test_a_table_with_faults(tmp_path: Path, table: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(table)
    with pytest.raises(SettingError, match=said):
        consent_of(str(tmp_path / "c.toml"))
    (tmp_path / "c.bin").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SettingError, match="spoken clip"):
        consent_of(str(tmp_path / "c.bin"))


def test_from_capture_to_avatar_and_no_fingerprint_moves(tmp_path: Path) -> None:
    capture, avatar = write_capture(tmp_path / "anna.capture", frames=3), write_avatar(tmp_path / "anna.avatar")
    write_json(avatar / "stage.json", {"fingerprint": "1" * 64})
    before = (capture / "stage.json").read_bytes()
    assert consent_in(capture) is None
    carry(capture, avatar)
    assert read_json(avatar / "avatar.json")["consent"] is None
    attach(capture, {**consent_of("Anna: I agree."), "when": "2026-01-02"})
    attach(capture, consent_of("Anna: I agree."))
    assert (consent_in(capture) or {})["when"] == "2026-01-02", "the day it was first given"
    carry(capture, avatar)
    assert read_json(avatar / "avatar.json")["consent"] == consent_in(capture)
    attach(capture, consent_of("Anna: I agree to more."))
    assert (consent_in(capture) or {})["statement"] == "I agree to more."
    assert (capture / "stage.json").read_bytes() == before and read_json(capture / "capture.json")["schema"] == 2


CAPTURED = """
import pipelines.capture as place
from pipelines.core.stage import Report
def made(footage, out, settings, progress, overwrite):
    return Report(stage="capture", out=out, fingerprint="1" * 64, status="done")
place.capture = made
"""


def test_on_the_command_line(tmp_path: Path) -> None:
    capture = write_capture(tmp_path / "anna.capture", frames=3)
    words = ("capture", tmp_path / "anna.mp4", "-o", capture, "--consent")
    done = avatarcli(*words, "Anna: I agree.", before=CAPTURED)
    assert done.returncode == 0, done.stderr
    assert (consent_in(capture) or {})["who"] == "Anna"
    wrong = avatarcli(*words, "nobody.wav", before=CAPTURED)
    assert wrong.returncode == 2 and "there is no such file" in wrong.stderr
