"""`report.html`: an avatar and its training on one page that can be sent to somebody.

Each section reads its own files and says "not available" when they are missing, so that a report of an unfinished or older
folder is still one.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.artifacts.avatar_record import AvatarRecord, load_avatar_record
from pipelines.core.errors import UnusableMaterial
from pipelines.evaluate.summary import comparison, verdict
from pipelines.report import html, svg
from pipelines.report.parts import ends, image_of, json_of, name_of
from pipelines.train.page_added import added_section


def avatar_report(folder: Path) -> str:
    """The page of an avatar folder."""
    record, metrics = record_in(folder), json_of(folder / "metrics.json")
    sections = [
        ("Held-out frames", _heldout(folder, metrics)),
        ("Compared with baselines", _baselines(metrics)),
        *added_section(folder),
        ("Training", _curves(folder / "train_log.jsonl")),
        ("Expressions", _expressions(record)),
        ("Plan", html.facts(json_of(folder / "plan.json"))),
        *ends(folder),
    ]
    origins = (record.capture, *record.added) if record else ()
    made_of = " and ".join(origin.name for origin in origins if origin)
    return html.page(f"Avatar {name_of(folder)}", f"made of {made_of}" if made_of else "", sections)


def record_in(folder: Path) -> AvatarRecord | None:
    """The avatar's record; None while a training has not written it, or where it is broken."""
    try:
        return load_avatar_record(folder)
    except UnusableMaterial:
        return None


def _heldout(folder: Path, metrics: Mapping[str, Any]) -> str:
    sheet = image_of(
        folder / "samples" / "heldout.png", "top: filmed frames; bottom: the avatar with the same expression and camera"
    )
    return html.sentences(verdict(metrics)) + sheet


def _baselines(metrics: Mapping[str, Any]) -> str:
    if "avatar" not in metrics:
        return ""
    head, rows = comparison(metrics)
    facts = {key: value for key, value in metrics.items() if key not in ("avatar", "baselines")}
    return html.table(rows, head=head, strong=0) + html.sentence(html.cell_text(facts), "quiet")


def _curves(log: Path) -> str:
    try:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.strip()]
    except (OSError, json.JSONDecodeError):
        return ""
    names = dict.fromkeys(key for line in lines for key in line if key not in ("step", "seconds"))
    return html.row(
        [svg.curve([(line["step"], line[name]) for line in lines if name in line], name, x_label="steps") for name in names]
    )


def _expressions(record: AvatarRecord | None) -> str:
    if record is None:
        return ""
    channels = record.expression
    rows = sorted(
        zip(channels.names, channels.low, channels.neutral, channels.high, strict=True), key=lambda row: row[1] - row[3]
    )
    return svg.ranges(rows, f"Range in the avatar's own renders ({channels.space})")
