"""Records of strangers: whatever does not fit its type is one sentence that names file, field and mend."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from pipelines.core.errors import UnusableMaterial
from pipelines.core.records import LARGEST_NUMBER, as_record, read_record, read_toml


class Item(Struct, frozen=True, kw_only=True):
    name: str
    weight: Annotated[float, Meta(ge=0, le=1)] = 1.0


class Example(Struct, frozen=True, kw_only=True):
    size: Annotated[int, Meta(ge=1, le=4096)]
    items: tuple[Item, ...] = ()
    figures: dict[str, Any] = {}


def written(folder: Path, text: str, name: str = "a.json") -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_a_record_is_decoded(tmp_path: Path) -> None:
    path = written(tmp_path, '{"size": 3, "items": [{"name": "a", "weight": 0}], "figures": {"x": NaN}, "other": 1}')
    record = read_record(path, Example)
    assert record.items == (Item(name="a", weight=0),) and record.figures == {"x": None}
    assert read_toml(written(tmp_path, "size = 4\n[[items]]\nname = 'b'\n", "a.toml"), Example).items[0].name == "b"


@pytest.mark.parametrize(
    "text, words",
    [
        ('{"size": "3"}', "has a text in `size`, where a whole number belongs"),
        ('{"size": true}', "has true or false in `size`"),
        ('{"size": -5}', "a value in `size` that is not a whole number >= 1"),
        ('{"size": 1e99}', "`size`"),
        (f'{{"size": {LARGEST_NUMBER * 10}}}', "`size` that is too large"),
        ('{"size": 1, "figures": {"x": 1e999}}', "is not valid JSON (the number 1e999 is too large)"),
        ("{}", "has no `size`"),
        ("[]", "has a list, where a table belongs"),
        ("null", "has nothing, where a table belongs"),
        ('{"size": 1, "items": [{"name": "a"}, {"name": "b", "weight": 2}]}', "in `items[1].weight` that is not a number <= 1"),
        ('{"size": 1, "items": [{"weight": 1}]}', "has no `items[0].name`"),
        ('{"size": 1', "is not valid JSON"),
        ("[" * 100_000, "is nested deeper"),
        ('{"size": 1, "figures": ' + '{"a":' * 80 + "1" + "}" * 81, "is nested deeper"),
        ("", "is not valid JSON"),
    ],
)
def test_what_does_not_fit_is_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableMaterial) as caught:
        read_record(written(tmp_path, text), Example, "avatarcli train CAPTURE")
    said = str(caught.value)
    assert words in said and "a.json" in said and "\n" not in said and said.endswith("Make it with `avatarcli train CAPTURE`.")


def test_toml_knows_infinite_numbers_and_records_do_not(tmp_path: Path) -> None:
    with pytest.raises(UnusableMaterial, match="`x` that is too large or not finite"):
        read_toml(written(tmp_path, "size = 1\n[figures]\nx = inf\n"), Example)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    for name, words in (("pipe.json", "is not a file"), ("gone.json", "is missing"), ("", "is not a file")):
        with pytest.raises(UnusableMaterial, match=words):
            read_record(tmp_path / name, Example)
    (tmp_path / "b.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(UnusableMaterial, match="not UTF-8"):
        read_record(tmp_path / "b.json", Example)


def test_a_file_larger_than_any_record_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"size": 1, "figures": {"x": "y" * 2_000_000}}))
    with pytest.raises(UnusableMaterial, match="larger than 1 MB"):
        read_record(path, Example, limit=1 << 20)


def test_a_value_already_parsed_names_its_place() -> None:
    with pytest.raises(UnusableMaterial, match=r"jobs.toml, row 2 has a list in `size`"):
        as_record({"size": []}, Example, "jobs.toml, row 2")
    assert as_record({"size": 2}, Example, "here") == msgspec.convert({"size": 2}, Example)
