"""What the reports of all stages share: files that may be missing, and the end of every page."""

import json
from pathlib import Path
from typing import Any

from pipelines.core.errors import AvatarError
from pipelines.core.files import read_image, read_json
from pipelines.core.stage import ASKED, RECORD, step_seconds, step_warnings
from pipelines.report import html


def ends(folder: Path) -> list[tuple[str, str]]:
    """Seconds, warnings and settings, which every stage has."""
    known = json_of(folder / RECORD)
    seconds = known.get("seconds") or step_seconds(folder)
    warnings = known.get("warnings") or step_warnings(folder)
    settings = known.get("settings") or json_of(folder / ASKED).get("settings")
    rows = [*seconds.items(), ("all", round(sum(seconds.values()), 2))] if seconds else []
    return [
        ("Seconds", html.table(rows, strong=len(rows) - 1)),
        ("Warnings", html.sentences(warnings, "warn") or html.sentence("None.")),
        ("Settings", html.folded("All settings", json.dumps(settings, indent=1)) if settings else ""),
    ]


def image_of(path: Path, caption: str) -> str:
    """The picture of a file, or nothing where there is none."""
    return html.picture(read_image(path), caption) if path.exists() else ""


def json_of(path: Path) -> dict[str, Any]:
    """The object of a file, empty where it is missing or broken."""
    try:
        value = read_json(path)
    except AvatarError:
        return {}
    return value if isinstance(value, dict) else {}


def name_of(folder: Path) -> str:
    """The folder's name, also while it is still being made."""
    return folder.name.removesuffix(".partial")
