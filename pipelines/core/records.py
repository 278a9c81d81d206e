"""The one door for records: JSON and TOML from disk, decoded into frozen types that state every bound.

A record may come from a stranger: it is read with a size limit, a depth limit and finite numbers alone, and whatever does not
fit its type is one sentence that names the file, the field and the mend. Types are frozen `msgspec.Struct`s or dataclasses;
bounds stand in them, `Annotated[int, Meta(ge=1)]`.

Notable choices: numbers are parsed by the standard library, because records written before hold `NaN`, which it turns into
null here; msgspec then checks types without converting any (`"3"` and `true` are no numbers).
"""

import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipelines.core.errors import UnusableMaterial

T = TypeVar("T")
LARGEST_BYTES = 64 << 20
DEEPEST = 64
LARGEST_NUMBER = 10**18
"""Whole numbers beyond it overflow in arrays."""
WORDS = {
    "int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false", "array": "a list",
    "object": "a table", "null": "nothing",
}  # fmt: skip


def read_record(path: Path, kind: type[T], made_by: str = "", *, limit: int = LARGEST_BYTES) -> T:
    """The JSON record in `path` as a `kind`; UnusableMaterial when it is missing, broken or does not fit the type."""
    text = _text(path, made_by, limit)
    return _decoded(path, lambda: json.loads(text, parse_constant=_null, parse_float=_finite), kind, made_by)


def read_toml(path: Path, kind: type[T], *, limit: int = LARGEST_BYTES) -> T:
    """The TOML file in `path` as a `kind`; UnusableMaterial as for `read_record`."""
    text = _text(path, "", limit)
    return _decoded(path, lambda: tomllib.loads(text), kind, "")


def as_record(value: Any, kind: type[T], place: str, made_by: str = "") -> T:
    """A parsed value as a `kind`; UnusableMaterial that names `place` (a file, a row) when it does not fit."""
    import msgspec

    try:
        _check(value)
        return msgspec.convert(value, kind, strict=True)
    except (ValueError, OverflowError, RecursionError) as error:
        raise UnusableMaterial(f"{place} {_complaint(error)}.{_hint(made_by)}") from error


def _decoded(path: Path, parse: Callable[[], Any], kind: type[T], made_by: str) -> T:
    try:
        value = parse()
    except RecursionError as error:
        raise UnusableMaterial(f"{path} is nested deeper than {DEEPEST} levels.{_hint(made_by)}") from error
    except ValueError as error:
        form = "TOML" if isinstance(error, tomllib.TOMLDecodeError) else "JSON"
        raise UnusableMaterial(f"{path} is not valid {form} ({error}).{_hint(made_by)}") from error
    return as_record(value, kind, str(path), made_by)


def _text(path: Path, made_by: str, limit: int) -> str:
    """The file's text, or the sentence of what is in the way: no file, a pipe, too much, not UTF-8."""
    try:
        if not path.is_file():
            raise UnusableMaterial(f"{path} is {'not a file' if path.exists() else 'missing'}.{_hint(made_by)}")
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
        if len(data) > limit:
            raise UnusableMaterial(f"{path} is larger than {limit >> 20} MB, which no record is.{_hint(made_by)}")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UnusableMaterial(f"{path} cannot be read ({reason}).{_hint(made_by)}") from error


def _check(value: Any) -> None:
    """ValueError for what no type can state: numbers that are infinite or too large, values nested too deep."""
    for key, item, depth in _leaves(value):
        if depth > DEEPEST:
            raise ValueError(f"is nested deeper than {DEEPEST} levels")
        if isinstance(item, float) and not math.isfinite(item) or isinstance(item, int) and abs(item) > LARGEST_NUMBER:
            raise ValueError(f"has a number in `{key}` that is too large or not finite")


def _leaves(value: Any) -> Iterator[tuple[str, Any, int]]:
    """(key or index of its container, value, depth) of all values, without recursion."""
    waiting: list[tuple[str, Any, int]] = [("the record", value, 0)]
    while waiting:
        key, item, depth = waiting.pop()
        yield key, item, depth
        if depth <= DEEPEST and isinstance(item, Mapping):
            waiting += [(str(name), inner, depth + 1) for name, inner in item.items()]
        elif depth <= DEEPEST and isinstance(item, list):
            waiting += [(key, inner, depth + 1) for inner in item]


def _null(constant: str) -> None:
    """NaN and Infinity, as Python writes them, are no numbers."""


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:20]} is too large")
    return value


def _hint(made_by: str) -> str:
    return f" Make it with `{made_by}`." if made_by else ""


def _complaint(error: Exception) -> str:
    """What msgspec says in a user's words: `Expected int, got str - at $.a` becomes `has a text in a, where ...`."""
    text, _, place = str(error).partition(" - at `")
    field = re.sub(r"^\$\.?|`$", "", place)
    where = f" in `{field}`" if field else ""
    if match := re.match(r"Object missing required field `(.*)`", text):
        return f"has no `{f'{field}.' if field else ''}{match[1]}`"
    if match := re.match(r"Object contains unknown field `(.*)`", text):
        return f"has an unknown field `{match[1]}`{where}"
    if match := re.match(r"Expected `([^`]*)`, got `([^`]*)`", text):
        return f"has {_words(match[2])}{where}, where {_words(match[1])} belongs"
    if match := re.match(r"Expected `([^`]*)` (.*)", text):
        return f"has a value{where} that is not {_words(match[1])} {match[2]}"
    if text.startswith(("has ", "is ")):
        return text
    return f"cannot be used: {text[:1].lower()}{text[1:]}{where}"


def _words(types: str) -> str:
    return " or ".join(WORDS.get(name, name) for name in types.split(" | "))
