"""What a path is to avatarcli, told by the record that lies in it: the sentence when one kind stands in another's place."""

from pathlib import Path
from typing import Literal

from pipelines.core.errors import UnusableMaterial

Kind = Literal["avatar", "capture", "prior"]
RECORDS: dict[Kind, str] = {"avatar": "avatar.json", "capture": "capture.json", "prior": "prior.json"}
ARTICLES: dict[Kind, str] = {"avatar": "an avatar", "capture": "a capture", "prior": "a prior"}
MAKERS: dict[Kind, str] = {
    "avatar": "make one with `avatarcli train CAPTURE -o NAME.avatar`",
    "capture": "make one with `avatarcli capture FOOTAGE -o NAME.capture`",
    "prior": "`avatarcli prior list` names those that there are",
}


def kind_of(path: Path) -> Kind | None:
    """The kind of a folder; None where it is a file, or none of ours."""
    return next((kind for kind, record in RECORDS.items() if (path / record).is_file()), None)


def insist_kind(path: Path, kind: Kind) -> None:
    """UnusableMaterial when `path` is a file, or a folder of another kind."""
    other = kind_of(path)
    if path.is_file() or other not in (None, kind) and not (path / RECORDS[kind]).is_file():
        what = "a file" if other is None else ARTICLES[other]
        raise UnusableMaterial(f"{path} is {what}, not {ARTICLES[kind]}; {MAKERS[kind]}.")
