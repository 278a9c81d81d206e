import io
import json

import numpy as np
import pytest

from avatarcli import console as module
from avatarcli.console import Console, Flags


def make(**flags: bool) -> tuple[Console, io.StringIO]:
    results = io.StringIO()
    return Console(Flags(command="test", **flags), results=results), results


def test_a_task_ends_with_its_count_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    console, results = make()
    with console.task("mattes", 3) as task:
        task.advance()
        task.advance(2)
        task.note("x")
    assert "✓ mattes  3" in capsys.readouterr().err
    assert results.getvalue() == ""


def test_without_a_terminal_a_long_task_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", -1.0)
    console, _ = make()
    with console.task("steps", 400) as task:
        task.note("psnr 24.1")
        task.advance(120)
        assert "steps 120/400 psnr 24.1" in capsys.readouterr().err, "what an earlier run did says nothing about the time"
        task.begun -= 10  # for 40 further steps
        task.advance(39)
        task.advance()
    assert "steps 160/400, 60 s left psnr 24.1" in capsys.readouterr().err


def test_quiet_hides_everything_but_errors(capsys: pytest.CaptureFixture[str]) -> None:
    console, results = make(quiet=True)
    with console.task("mattes", 1) as task:
        task.advance()
    console.say("hello")
    console.warn("careful")
    console.table(["a"], [["b"]])
    assert capsys.readouterr().err == ""
    console.error("it broke [here].")
    console.result({"out": "x"}, "x")
    assert capsys.readouterr().err == "error: it broke [here].\n"
    assert results.getvalue() == "x\n"


def test_json_says_what_numpy_holds_and_null_for_what_json_cannot() -> None:
    console, results = make(json=True)
    console.table(["a"], [["b"]])
    console.result({"a": np.float32(1.5), "b": [float("inf"), np.arange(2)], "c": (1, None, True)}, "line")
    assert json.loads(results.getvalue()) == {
        "schema": 1, "command": "test", "a": 1.5, "b": [None, [0, 1]], "c": [1, None, True],
    }  # fmt: skip


def test_brackets_of_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console, results = make()
    console.say("[red]x[/red]")
    console.warn("a [b]")
    console.table(["name"], [["[bold]"]])
    err = capsys.readouterr().err
    assert "[red]x[/red]" in err and "a [b]" in err
    assert "[bold]" in results.getvalue()


def test_numbers_and_names_in_messages_are_not_colored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console, _ = make()
    console.say("5 of 7 frames of me.mp4")
    assert "5 of 7 frames of me.mp4" in capsys.readouterr().err
