import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.avatarcli.cli import ROOT, avatarcli, environment

CHECKS = """
import pipelines.doctor as place
from pipelines.doctor import Check
def part(name, ok, required):
    return lambda: Check(name=name, ok=ok, found="x", needed_for="y", required=required, remedy="Get it there.")
place._torch = part("PyTorch", {required_ok}, True)
for name in ("ffmpeg", "pyav", "mediapipe", "c2pa", "prior", "disk", "colmap", "rembg"):
    setattr(place, "_" + name, part(name, True, True))
place._gpu = part("GPU", False, False)
"""


def test_optional_parts_may_be_missing() -> None:
    done = avatarcli("doctor", "--json", before=CHECKS.format(required_ok=True))
    result = json.loads(done.stdout)
    assert done.returncode == 0
    assert result["status"] == "done"
    assert {check["name"]: check["ok"] for check in result["checks"]}["GPU"] is False
    assert "GPU is needed for y. Get it there." in done.stderr


def test_a_required_part_that_is_missing_is_exit_3() -> None:
    done = avatarcli("doctor", before=CHECKS.format(required_ok=False))
    assert done.returncode == 3
    assert "something required is missing" in done.stdout


def test_parts_are_tried_in_a_child() -> None:
    from pipelines.doctor import _child

    assert _child("a", "print('chat'); print('1.2')", "x").found == "1.2"
    crashed = _child("a", "import os; os.abort()", "x")
    assert not crashed.ok
    assert _child("a", "import nonsense_that_is_not_there", "x").found.startswith("ModuleNotFoundError")


@pytest.mark.parametrize("name", ["models", "pipelines"])
def test_a_foreign_package_under_our_names_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    words = [sys.executable, "-m", "avatarcli", "doctor"]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 3 and done.stdout == ""
    assert f"`{name}` is {tmp_path / name}, and should be in {ROOT}" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_of_that_name_which_is_no_package_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    words = [sys.executable, "-m", "avatarcli", "--version"]
    assert subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True).returncode == 0


def test_our_packages_lie_side_by_side() -> None:
    from pipelines.doctor import _packages

    assert _packages().ok and str(ROOT) in _packages().found
