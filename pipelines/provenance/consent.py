"""The consent of the person who is captured: who, when, what was said, and the hash of the clip in which it was spoken.

It lies in capture.json, goes into avatar.json and from there into the manifest of every render. It is a record, not a proof:
the tool cannot know who speaks. It is no part of the fingerprints, so it can be added to a capture that is there already.
"""

import datetime
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.artifacts.avatar_record import NAME, load_avatar_record, save_avatar_record
from pipelines.core.errors import SettingError
from pipelines.core.files import read_json, sha256_file, write_json
from pipelines.core.stage import RECORD

FIELDS = ("who", "when", "statement", "clip")
SPOKEN = {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus"}
LONGEST = 4000


def consent_of(text: str) -> dict[str, str | None]:
    """The record for what the user gave: `Anna Muster: I agree ...`, a text file with such a line, a spoken clip, or a TOML
    file with `who`, `when`, `statement`, `clip` (a path from the file's folder). What is not said is None; `when` is today.
    """
    path = Path(text)
    if not (len(text) < 1024 and path.is_file()):
        if path.suffix.lower() in SPOKEN | {".toml", ".txt"} and " " not in text.strip():
            raise SettingError(f"--consent {text}: there is no such file.")
        return _record(*_said(text))
    if path.suffix.lower() == ".toml":
        return _of_table(path)
    if path.suffix.lower() in SPOKEN:
        return _record(None, None, clip=path)
    try:
        return _record(*_said(path.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"--consent {path}: neither a text, a .toml nor a spoken clip ({', '.join(sorted(SPOKEN))})."
        ) from error


def attach(folder: Path, consent: Mapping[str, Any]) -> None:
    """Put `consent` into a capture's record. The same consent again keeps the day on which it was first given."""
    path = folder / "capture.json"
    record = read_json(path)
    known = record.get("consent") or {}
    if any(known.get(name) != consent[name] for name in ("who", "statement", "clip_sha256")):
        write_json(path, {**record, "consent": dict(consent)})


def carry(capture: Path, avatar: Path) -> None:
    """Bring a consent that was given after the training from the capture into the avatar's record."""
    if (avatar / NAME).exists() and (avatar / RECORD).exists():
        record, consent = load_avatar_record(avatar), consent_in(capture)
        if consent is not None and record.consent != consent:
            save_avatar_record(avatar, replace(record, consent=consent))


def consent_in(capture: Path) -> dict[str, Any] | None:
    path = capture / "capture.json"
    return read_json(path).get("consent") if path.exists() else None


def consent_sentence(consent: dict[str, Any] | None) -> str:
    """For people: `consent of Anna Muster, 2026-11-21`."""
    if not consent:
        return "no consent is recorded"
    spoken = ", with a spoken clip" if consent.get("clip_sha256") else ""
    return f"consent of {consent.get('who') or 'somebody without a name'}, {consent.get('when')}{spoken}"


def _of_table(path: Path) -> dict[str, str | None]:

    try:
        table = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"--consent {path}: {error}.") from error
    unknown = [name for name in table if name not in FIELDS]
    if unknown:
        raise SettingError(f"--consent {path}: there is no {unknown[0]!r}; it has {', '.join(FIELDS)}.")
    clip = path.parent / str(table["clip"]) if "clip" in table else None
    if clip is not None and not clip.is_file():
        raise SettingError(f"--consent {path}: the clip {clip} does not exist.")
    when = table.get("when")
    return _record(table.get("who"), table.get("statement"), str(when) if when is not None else None, clip)


def _said(text: str) -> tuple[str | None, str]:
    """Who and what, of `who: what`."""
    who, colon, statement = text.strip().partition(":")
    named = bool(colon) and "\n" not in who and len(who) <= 80
    return (who.strip(), statement.strip()) if named else (None, text.strip())


def _record(who: str | None, statement: str | None, when: str | None = None, clip: Path | None = None) -> dict[str, str | None]:
    if not (statement or clip):
        raise SettingError("--consent is empty; write 'NAME: I agree that ...', or give a text, .toml or spoken clip.")
    if statement and len(statement) > LONGEST:
        raise SettingError(f"--consent: the statement has {len(statement)} characters, at most {LONGEST} are recorded.")
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {
        "who": who or None, "when": when or today, "statement": statement or None,
        "clip_sha256": sha256_file(clip) if clip else None,
    }  # fmt: skip
