"""Odd surroundings of a command: streams that are closed or full, foreign text, a wrong word: right words, right exit code."""

import subprocess
from pathlib import Path

import pytest

from avatarcli.console import visible
from tests.avatarcli.cli import command, environment


def verdict(words: list[str], redirect: str = "", **env: str) -> tuple[int, str]:
    """Exit code and stderr of a command in a shell."""
    start = ["bash", "-c", f'exec "$@" {redirect}', "sh", *command(*words)]
    done = subprocess.run(start, capture_output=True, text=True, env=environment(env), timeout=120)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("redirect", "words"),
    [(">&-", "does not exist"), ("2>&-", ""), (">&- 2>&- <&-", ""), ("> /dev/full", "does not exist"), ("2> /dev/full", "")],
)
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_streams_that_are_closed_or_full(tmp_path: Path, redirect: str, words: str, flags: list[str]) -> None:
    code, said = verdict([*flags, "verify", str(tmp_path / "none.mp4")], redirect)
    assert code == 4 and words in said and "Traceback" not in said


def test_a_rank_that_is_no_number_and_ascii(tmp_path: Path) -> None:
    for env in ({"RANK": "x"}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}):
        code, said = verdict(["verify", str(tmp_path / "Übung ✓.mp4")], **env)
        assert code == 4 and said.startswith("error: ") and len(said.splitlines()) == 1


def test_foreign_text_steers_no_terminal(tmp_path: Path) -> None:
    code, said = verdict(["verify", str(tmp_path / "a\x1b]0;title\x07\n\u202eb.mp4")])
    assert code == 4 and "\x1b" not in said and r"a\x1b]0;title\x07\n\u202eb.mp4" in said
    assert visible("a\nb\x9bc", lines=True) == "a\nb\\x9bc"


@pytest.mark.parametrize(
    ("words", "said"),
    [(["capture", "x.mp4", "--cameras", "foo", "-o", "y"], "'foo' is not one of"), (["nonsense"], "No such command 'nonsense'"),
     (["drive"], "Missing argument"), (["drive", "a", "--wrong"], "No such option")],
)  # fmt: skip
def test_a_wrong_word_is_one_sentence(words: list[str], said: str) -> None:
    code, text = verdict(words)
    assert code == 2 and said in text and text.startswith("error: ") and len(text.splitlines()) == 1
