import json

from tests.avatarcli.cli import avatarcli

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
