"""The plan of the house: whose packages are imported, which way imports point, and that none go in a circle.

Every import counts, also one inside a function or under TYPE_CHECKING. A room is a folder of `pipelines` or `models`, a loose
file of theirs, or `avatarcli`.
"""

import ast
import importlib.util
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import avatarcli
import models
import pipelines
from models.families import MODULES

ROOT = Path(avatarcli.__file__).parents[1]
PACKAGES = ("models", "pipelines", "avatarcli")
FLOORS = (
    ("core",), ("geometry",), ("media",), ("assets",), ("face",), ("artifacts",), ("avatar",), ("engine",), ("report",),
    ("evaluate", "capture", "train", "prior", "drive", "provenance"), ("run", "batch", "demo", "doctor"),
)  # fmt: skip
"""Rooms of `pipelines` from the ground up; who works on one floor may know each other, but not in a circle."""
HEAVY = {
    "PIL", "av", "c2pa", "cryptography", "cv2", "face_alignment", "ffmpeg", "imageio_ffmpeg", "jinja2", "mediapipe", "msgspec",
    "numba", "numpy", "onnxruntime", "pillow_heif", "pycolmap", "pyvirtualcam", "rembg", "rich", "safetensors", "scipy",
    "torch",
}  # fmt: skip
"""Third-party packages that may be imported inside a function, because loading them takes long or they may be missing."""
POSIX = {"fcntl", "resource"}
"""Of the standard library, not on every system."""
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}
FAMILY_FILES = sorted((ROOT / "models").glob("*/family.py"))
Arrows = Mapping[str, Iterable[str]]


def imports(tree: ast.AST) -> Iterator[str]:
    """Modules, or names in modules, that the code imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, "imports are absolute"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def module_of(name: str) -> str:
    """The file of ours that holds an imported name."""
    return name if name in SOURCES else name.rpartition(".")[0]


def room_of(module: str) -> str:
    package, _, rest = module.partition(".")
    return package if package == "avatarcli" else f"{package}.{rest.partition('.')[0]}"


def arrows_of_files() -> dict[str, set[str]]:
    return {
        module: {module_of(name) for name in imports(tree) if name.partition(".")[0] in PACKAGES} - {module}
        for module, tree in TREES.items()
    }


def arrows_of_rooms() -> dict[str, set[str]]:
    arrows: dict[str, set[str]] = {}
    for module, targets in arrows_of_files().items():
        arrows.setdefault(room_of(module), set()).update({room_of(target) for target in targets} - {room_of(module)})
    return arrows


def circle_in(arrows: Arrows) -> list[str]:
    """The names along a circle, or nothing."""
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def imports_inside_functions() -> set[tuple[str, str]]:
    """(module, imported package or module of ours) of each import inside a function."""
    functions = (
        (module, node)
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return {(module, name) for module, function in functions for name in imports(function)}


def test_the_imported_packages_lie_side_by_side_and_are_ours() -> None:
    folders = {Path(str(package.__file__)).parent.parent for package in (avatarcli, models, pipelines)}
    assert len(folders) == 1
    assert (folders.pop() / "avatarcli" / "app.py").exists()
    assert importlib.util.find_spec("models.eg3d.generator") is not None
    assert importlib.util.find_spec("pipelines.core.stage") is not None


def test_imports_point_one_way() -> None:
    """avatarcli -> pipelines -> models."""
    forbidden = {"models": ("pipelines", "avatarcli", "rich", "typer", "cv2"), "pipelines": ("avatarcli", "rich", "typer")}
    wrong = [
        f"{module} imports {name}"
        for module, tree in TREES.items()
        for name in imports(tree)
        if name.partition(".")[0] in forbidden.get(module.partition(".")[0], ())
    ]
    assert wrong == []


def test_rooms_import_rooms_below_them() -> None:
    floor = {f"pipelines.{room}": number for number, rooms in enumerate(FLOORS) for room in rooms}
    homeless = {room_of(module) for module in SOURCES if module.startswith("pipelines.")} - set(floor)
    assert not homeless, f"{homeless} is on no floor; add it to FLOORS, as low as what it imports allows"
    wrong = [
        f"{module} imports {target}: {room_of(target)} is above {room_of(module)}; move what both need down, or hand it in"
        for module, targets in arrows_of_files().items()
        for target in targets
        if floor.get(room_of(target), -1) > floor.get(room_of(module), len(FLOORS))
    ]
    assert wrong == []


def test_nothing_imports_in_a_circle() -> None:
    assert circle_in(arrows_of_rooms()) == [], "rooms import each other in a circle"
    assert circle_in(arrows_of_files()) == [], "files import each other in a circle"


def test_a_circle_is_seen() -> None:
    assert set(circle_in({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})) == {"a", "b", "c"}
    assert circle_in({"a": ["b", "c"], "b": ["c"]}) == []


def test_no_family_imports_another() -> None:
    """Nor does anything that families share import one, so that none reaches another by a detour."""
    families = {room_of(module) for module in MODULES.values()} | {f"models.{path.parent.name}" for path in FAMILY_FILES}
    wrong = [
        f"{room} imports {other}"
        for room, others in arrows_of_rooms().items()
        for other in others
        if room.startswith("models.") and other in families
    ]
    assert len(families) >= 2 and wrong == []


def test_only_the_table_of_families_imports_by_a_text() -> None:
    """Such an import shows in none of the tests above."""
    wrong = [
        f"{module}: {ast.unparse(node)}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in {"import_module", "__import__"}
        if module != "models.families"
    ]
    assert wrong == []


def test_only_heavy_packages_and_our_own_are_imported_inside_functions() -> None:
    """Our own, for a quick start, point down: that is what no circle of files means."""
    packages = {(module, name.partition(".")[0]) for module, name in imports_inside_functions()}
    wrong = sorted(f"{module}: import {package} belongs to the top" for module, package in packages
                   if package not in HEAVY | POSIX | set(PACKAGES))  # fmt: skip
    assert wrong == []
    assert not HEAVY & sys.stdlib_module_names


def test_pipelines_and_commands_name_no_family() -> None:
    """But where published weights are imported, and where sources and licenses are listed. A name counts as a word, so that a
    family may be called `mine` although others examine."""
    families = [path.parent.name for path in FAMILY_FILES]
    names = re.compile("|".join(rf"(?<![a-z]){re.escape(name)}(?![a-z])" for name in families), re.IGNORECASE)
    allowed = {"pipelines/assets/registry.py", "pipelines/prior/importing/networks.py"}
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for package in ("pipelines", "avatarcli")
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in allowed
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if names.search(line)
    ]
    assert len(families) >= 2 and wrong == []
