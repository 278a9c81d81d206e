"""How long every stage took, from the raw video on, by the stages' own records."""

from pathlib import Path
from typing import Any

from pipelines.core.errors import AvatarError
from pipelines.core.files import read_json
from pipelines.core.stage import RECORD


def seconds_of_stages(capture: Path, avatar: Path) -> dict[str, Any]:
    """Steps and sums of the capture and the training, and of the drives of this avatar whose records lie beside it.

    `video_to_avatar` is what both took together; a drive is not in it, as its length is another video's.
    """
    made = {"capture": _steps(read_json(capture / RECORD)), "train": _steps(read_json(avatar / RECORD))}
    drives = {path.stem: _steps(record) for path, record in _drives(avatar)}
    return {**made, "drive": drives, "video_to_avatar": round(made["capture"]["all"] + made["train"]["all"], 2)}


def _steps(record: dict[str, Any]) -> dict[str, float]:
    seconds = {str(name): float(value) for name, value in record.get("seconds", {}).items()}
    return {**seconds, "all": round(sum(seconds.values()), 2)}


def _drives(avatar: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Records of drives beside the avatar whose provenance names it."""
    own = read_json(avatar / RECORD)["fingerprint"]
    found = []
    for path in sorted(avatar.resolve().parent.glob("*.json")):
        try:
            record = read_json(path)
        except AvatarError:
            continue
        if isinstance(record, dict) and record.get("stage") == "drive" and _avatar_of(record) == own:
            found.append((path, record))
    return found


def _avatar_of(record: dict[str, Any]) -> str | None:
    origin = record.get("figures", {}).get("provenance", {})
    return origin.get("avatar") if isinstance(origin, dict) else None
