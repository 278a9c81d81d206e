"""How long every stage took, from the raw video on, by the stages' own records."""

from pathlib import Path
from typing import Any

from pipelines.artifacts.avatar_record import content_id, load_avatar_record
from pipelines.core.errors import AvatarError
from pipelines.core.records import read_record
from pipelines.core.stage import StageRecord, stage_record


def seconds_of_stages(capture: Path, avatar: Path) -> dict[str, Any]:
    """Steps and sums of the capture and the training, and of the drives of this avatar whose records lie beside it.

    `video_to_avatar` is what both took together; a drive is not in it, as its length is another video's.
    """
    made = {"capture": _steps(stage_record(capture).seconds), "train": _steps(stage_record(avatar).seconds)}
    drives = {path.stem: _steps(record.seconds) for path, record in _drives(avatar)}
    return {**made, "drive": drives, "video_to_avatar": round(made["capture"]["all"] + made["train"]["all"], 2)}


def _steps(seconds: dict[str, float]) -> dict[str, float]:
    return {**seconds, "all": round(sum(seconds.values()), 2)}


def _drives(avatar: Path) -> list[tuple[Path, StageRecord]]:
    """Records of drives beside the avatar whose provenance names it, as earlier versions signed or as this one does."""
    own = (stage_record(avatar).fingerprint, content_id(avatar, load_avatar_record(avatar)))
    found = []
    for path in sorted(avatar.resolve().parent.glob("*.json")):
        try:
            record = read_record(path, StageRecord)
        except AvatarError:
            continue
        if record.stage == "drive" and _avatar_of(record) in own:
            found.append((path, record))
    return found


def _avatar_of(record: StageRecord) -> str | None:
    origin = record.figures.get("provenance", {})
    return origin.get("avatar") if isinstance(origin, dict) else None
