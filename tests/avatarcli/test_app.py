import json
import signal
import subprocess
import time

import pytest
from typer.main import get_command

from avatarcli.app import app
from tests.avatarcli.cli import avatarcli, command, environment
from tests.material import ROOT

EVALUATION = """
import os, sys, types
import pipelines.evaluate as place
def evaluate(avatar, capture, **options):
    {body}
place.evaluate = evaluate
"""
FIGURES = """{'avatar': {'psnr_head': 24.25}, 'baselines': {'mean': {'psnr_head': 21.8}}, 'frames': 3, 'bad': float('nan')}"""


def evaluating(body: str) -> str:
    return EVALUATION.format(body=body)


def failing(error: str) -> str:
    return evaluating(f"import pipelines.core.errors as e; raise {error}")


def test_help_is_fast_and_names_the_commands() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        done = avatarcli("--help")
        seconds.append(time.perf_counter() - start)
    assert done.returncode == 0
    for name in ("run", "capture", "train", "drive", "evaluate", "batch", "demo", "doctor", "prior", "bom"):
        assert f" {name} " in done.stdout
    assert min(seconds) < 1.0, seconds


@pytest.mark.parametrize("name", ["run", "capture", "train", "drive", "evaluate", "batch", "demo", "doctor", "bom"])
def test_a_panel_of_help_has_at_most_ten_flags(name: str) -> None:
    done = avatarcli(name, "--help")
    assert done.returncode == 0
    for panel in done.stdout.split("╭─")[1:]:
        flags = [line for line in panel.splitlines() if line.startswith("│") and "--" in line[:20] and "--help" not in line]
        assert len(flags) <= 10, panel


def test_no_flag_is_hidden() -> None:
    commands = list(get_command(app).commands.values())  # type: ignore[attr-defined]
    prior = next(command for command in commands if command.name == "prior")
    hidden = [
        f"{command.name} {flag.opts[0]}"
        for command in [*commands, *prior.commands.values()]
        for flag in command.params
        if getattr(flag, "hidden", False)
    ]
    assert hidden == []


def test_no_heavy_import_before_a_command_runs() -> None:
    heavy = "torch", "numpy", "cv2", "mediapipe", "pycolmap", "rembg", "rich.console"
    code = f"import sys, avatarcli.app; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([command()[0], "-c", code], capture_output=True, text=True, env=environment(), check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("e.AvatarError('it broke.')", 1, "it broke."),
        ("e.SettingError('no such setting.')", 2, "no such setting."),
        ("e.MissingTool('fetch it.')", 3, "fetch it."),
        ("e.UnusableMaterial('film again.')", 4, "film again."),
        ("OSError(28, 'No space left on device', 'a.png')", 1, "No space left on device (a.png)"),
        ("OSError(27, 'File too large')", 1, "File too large"),
        ("PermissionError(13, 'Permission denied', 'x')", 1, "Permission denied (x)"),
        ("ZeroDivisionError('division by zero')", 1, "ZeroDivisionError"),
    ],
)
def test_errors_become_one_sentence_and_an_exit_code(error: str, code: int, said: str) -> None:
    done = avatarcli("evaluate", "a", "b", "--device", "cpu", before=failing(error))
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_json_is_alone_on_stdout_also_when_libraries_chat() -> None:
    chat = f"print('python'); os.write(1, b'native'); os.system('echo child'); return {FIGURES}"
    done = avatarcli("evaluate", "a", "b", "--device", "cpu", "--json", before=evaluating(chat))
    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert (result["schema"], result["command"], result["status"]) == (1, "evaluate", "done")
    assert result["figures"]["avatar"]["psnr_head"] == 24.25
    assert result["figures"]["bad"] is None
    assert all(word in done.stderr for word in ("python", "native", "child"))


def test_a_failure_is_an_object_too() -> None:
    done = avatarcli("--json", "evaluate", "a", "b", "--device", "cpu", before=failing("e.UnusableMaterial('film again.')"))
    assert json.loads(done.stdout) == {
        "schema": 1, "command": "evaluate", "status": "failed", "error": "film again.", "exit_code": 4,
    }  # fmt: skip
    assert "film again." in done.stderr


def test_people_see_a_table_and_the_quiet_only_a_line() -> None:
    done = avatarcli("evaluate", "a", "b", "--device", "cpu", before=evaluating(f"return {FIGURES}"))
    assert "24.25" in done.stdout
    assert "2.4 dB above the mean training frame" in done.stdout
    quiet = avatarcli("evaluate", "a", "b", "--quiet", "--device", "cpu", before=evaluating(f"return {FIGURES}"))
    assert len(quiet.stdout.splitlines()) == 1
    assert quiet.stderr == ""


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_debug_shows_where(way: str) -> None:
    words = ["evaluate", "a", "b", "--device", "cpu"] + (["--debug"] if way == "flag" else [])
    env = {"AVATARCLI_DEBUG": "1"} if way == "variable" else {}
    done = avatarcli(*words, before=failing("e.SettingError('here')"), env=env)
    assert done.returncode == 2
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["evaluate"],
        ["evaluate", "a", "b", "--bogus"],
        ["train", "x", "-o", "y", "--budget", "soon"],
        ["batch", "no.toml"],
        ["evaluate", "a", "b", "--device", "tpu"],
    ],
)
def test_usage_errors_exit_with_2(words: list[str]) -> None:
    done = avatarcli(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_gpu_that_is_not_there_exits_with_3() -> None:
    before = evaluating("return {}") + "\nimport torch\ntorch.cuda.is_available = lambda: False"
    done = avatarcli("evaluate", "a", "b", "--device", "cuda", before=before)
    assert done.returncode == 3
    assert "avatarcli doctor" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_one_line_and_130(number: int) -> None:
    before = evaluating("os.write(2, b'ready'); import time; time.sleep(60)")
    child = subprocess.Popen(
        command("evaluate", "a", "b", "--device", "cpu", before=before),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert child.stderr is not None
    said = b""
    while b"ready" not in said:
        said += child.stderr.read(1)
    child.send_signal(number)
    out, rest = child.communicate(timeout=30)
    assert child.returncode == 130
    assert b"interrupted" in rest
    assert len(rest.strip().splitlines()) == 1
    assert out == b""


def test_version() -> None:
    from pipelines import __version__

    assert avatarcli("--version").stdout.strip() == f"avatarcli {__version__}"


def test_one_console_prints() -> None:
    """No other module of the three packages prints."""
    root = ROOT
    printing = [
        str(path.relative_to(root))
        for package in ("avatarcli", "pipelines", "models")
        for path in (root / package).rglob("*.py")
        if any(line.lstrip().startswith("print(") for line in path.read_text().splitlines())
    ]
    assert printing == ["avatarcli/console.py"]
