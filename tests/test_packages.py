"""The three packages have common names: what is imported must be ours."""

import importlib.util
from pathlib import Path

import avatarcli
import models
import pipelines


def test_the_imported_packages_lie_side_by_side_and_are_ours() -> None:
    folders = {Path(str(package.__file__)).parent.parent for package in (avatarcli, models, pipelines)}
    assert len(folders) == 1
    assert (folders.pop() / "avatarcli" / "app.py").exists()
    assert importlib.util.find_spec("models.eg3d.generator") is not None
    assert importlib.util.find_spec("pipelines.core.stage") is not None


def test_imports_point_one_way() -> None:
    """avatarcli -> pipelines -> models."""
    root = Path(avatarcli.__file__).parents[1]
    forbidden = {"models": ("pipelines", "avatarcli", "rich", "typer"), "pipelines": ("avatarcli", "rich", "typer")}
    wrong = [
        f"{path.relative_to(root)}: {line.strip()}"
        for package, names in forbidden.items()
        for path in (root / package).rglob("*.py")
        for line in path.read_text().splitlines()
        if line.strip().startswith(
            tuple(f"{word} {name}{end}" for word in ("import", "from") for name in names for end in (" ", "."))
        )
        or line.strip() in tuple(f"import {name}" for name in names)
    ]
    assert wrong == []
