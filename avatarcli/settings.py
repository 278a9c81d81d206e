"""Settings from a preset, a TOML file and `--set key=value`: frozen dataclasses in, frozen dataclasses out.

A key is a dotted path of field names (`finetune.r1_gamma`). Values are parsed by the field's type; an unknown key or a value of
another type is a SettingError that names what would have been right.
"""

import difflib
import re
import tomllib
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from avatarcli.bounds import insist_within
from pipelines.core.errors import SettingError

T = TypeVar("T")
STAGES = ("capture", "train", "drive")
NONE = ("none", "null")


def resolve(base: T, *, file: Path | None = None, assignments: Sequence[str] = (), stage: str = "") -> T:
    """`base` changed by a TOML file, then by `key=value` texts in order.

    A file made of tables [capture], [train], [drive] configures the whole way; `stage` says which of them is meant here.
    """
    for key, value in _from_file(file, stage) if file else ():
        base = assign(base, key, value, said=f"{file}: {key}")
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise SettingError(f"--set {text}: write KEY=VALUE, such as --set finetune.steps=100.")
        base = assign(base, key.strip(), value.strip(), said=f"--set {text}")
    return base


def assign(base: T, key: str, value: Any, *, said: str) -> T:
    """`base` with the setting of the dotted `key` replaced; `said` is how the user put it, for the message."""
    _check(base, key, value, said)
    changed = _replaced(base, key, value, said)
    insist_within(key, value_of(changed, key), said)
    return changed


def value_of(settings: Any, key: str) -> Any:
    """The setting of a dotted key."""
    for name in key.split("."):
        settings = getattr(settings, name)
    return settings


def _check(base: Any, key: str, value: Any, said: str) -> None:
    """Raise SettingError unless `key` is one setting of `base`, or a group that is set to none."""
    known = list(keys(base))
    parts = [name for name in known if name.startswith(f"{key}.")]
    owner = next((name for name in known if key.startswith(f"{name}.")), None)
    if parts and str(value).lower() not in NONE:
        raise SettingError(f"{said}: {key!r} is a group; set one of {', '.join(parts)}.")
    if owner:
        raise SettingError(f"{said}: {owner!r} is a single value and has no parts.")
    if not parts and key not in known:
        instead = next(filter(None, (_retired(kind, key) for kind in (type(base), *_stages().values()))), "")
        if instead:
            raise SettingError(f"{said}: {key!r} is gone; {instead}.")
        raise SettingError(f"{said}: there is no setting {key!r}; {_elsewhere(key) or _near(known, key)}")


def _retired(kind: type, key: str) -> str:
    """What to do instead of a setting that earlier versions had; groups name theirs in `RETIRED`."""
    for name, instead in getattr(kind, "RETIRED", {}).items():
        if key == name or key.startswith(f"{name}."):
            return instead
    head, _, rest = key.partition(".")
    inner = group_of(types_of(kind).get(head))
    return _retired(inner, rest) if rest and inner else ""


def _elsewhere(key: str) -> str:
    """The stage that has a setting, for somebody who gave it to another one."""
    owner = next((name for name, kind in _stages().items() if key in keys(kind)), "")
    return f"`{owner}` has it." if owner else ""


def _stages() -> dict[str, type]:
    from pipelines.capture import CaptureSettings
    from pipelines.drive.settings import DriveSettings
    from pipelines.train.settings import TrainSettings

    return {"capture": CaptureSettings, "train": TrainSettings, "drive": DriveSettings}


def _replaced(base: T, key: str, value: Any, said: str) -> T:
    head, _, rest = key.partition(".")
    hint = types_of(type(base))[head]
    current, inner = getattr(base, head), group_of(hint)
    if rest:
        new: Any = _replaced(current if current is not None or inner is None else inner(), rest, value, said)
    else:
        new = _parsed(hint, value, said)
    try:
        return replace(base, **{head: new})  # type: ignore[type-var]
    except ValueError as error:
        raise SettingError(f"{said}: {error}") from error


def with_prefixes(base: Any, assignments: Sequence[str]) -> list[str]:
    """`finetune.steps=9` as `train.finetune.steps=9` where the group was left out; `seed=3` for all groups that have one."""
    return [changed for text in assignments for changed in _within(base, text)]


def _within(base: Any, text: str) -> list[str]:
    key = text.partition("=")[0].strip()
    if key.partition(".")[0] in types_of(type(base)):
        return [text]
    return [f"{name}.{text}" for name in types_of(type(base)) if key in keys(getattr(base, name))] or [text]


def keys(of: Any) -> Iterator[str]:
    """Dotted names of all settings of a dataclass type or instance."""
    for name, hint in types_of(of if isinstance(of, type) else type(of)).items():
        inner = group_of(hint)
        if inner is None:
            yield name
        else:
            yield from (f"{name}.{key}" for key in keys(inner))


def types_of(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}  # type: ignore[arg-type]


def group_of(hint: Any) -> type | None:
    """The dataclass behind a type or an optional type, if there is one."""
    return next((kind for kind in (hint, *_choices(hint)) if isinstance(kind, type) and is_dataclass(kind)), None)


def _choices(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else ()


def _from_file(path: Path, stage: str) -> Iterator[tuple[str, Any]]:
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise SettingError(f"the settings file {path} does not exist.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"the settings file {path} cannot be read: {error}.") from error
    if stage and table and set(table) <= set(STAGES):
        table = table.get(stage, {})
    return flat(table)


def flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of nested tables."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _near(known: Sequence[str], key: str) -> str:
    last, leaves = key.rsplit(".", 1)[-1], {name.rsplit(".", 1)[-1]: name for name in known}
    close = [name for name in known if name.rsplit(".", 1)[-1] == last]
    close += difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    close += [leaves[leaf] for leaf in difflib.get_close_matches(last, leaves, n=2, cutoff=0.7)]
    if close:
        return f"did you mean {' or '.join(list(dict.fromkeys(close))[:3])}?"
    within = [name for name in known if name.partition(".")[0] == key.partition(".")[0]]
    return f"the settings are {', '.join(within or _with_groups(known))}."


def _with_groups(known: Sequence[str]) -> list[str]:
    """Single settings by their names, then groups as `finetune.*`."""
    return list(dict.fromkeys(name if "." not in name else f"{name.partition('.')[0]}.*" for name in known))


def _says_none(hint: Any, value: Any) -> bool:
    return type(None) in _choices(hint) and str(value).lower() in NONE


def _parsed(hint: Any, value: Any, said: str) -> Any:
    if _says_none(hint, value):
        return None
    for kind in _choices(hint) or (hint,):
        try:
            return _as(kind, value)
        except (ValueError, TypeError):
            continue
    raise SettingError(f"{said}: this must be {describe_type(hint)}.")


def _as(kind: Any, value: Any) -> Any:
    """`value`, a text or a TOML value, as `kind`; ValueError or TypeError when it is not one."""
    if get_origin(kind) is Literal:
        return _pick(value, {str(choice): choice for choice in get_args(kind)})
    if get_origin(kind) is tuple:
        return _as_tuple(get_args(kind), value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _pick(value, {name: choice for choice in kind for name in (choice.name, str(choice.value))})
    return _SCALARS[kind](value)


def _pick(value: Any, choices: Mapping[str, Any]) -> Any:
    if str(value) not in choices:
        raise ValueError
    return choices[str(value)]


def _as_tuple(parts: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    items = [item for item in re.split(r"\s*,\s*", value.strip("()[] ")) if item] if isinstance(value, str) else list(value)
    kinds = [parts[0]] * len(items) if parts[-1] is Ellipsis else list(parts)
    if len(items) != len(kinds):
        raise ValueError
    return tuple(_as(kind, item) for kind, item in zip(kinds, items, strict=True))


_TRUTH = {True: ("true", "yes", "on", "1"), False: ("false", "no", "off", "0")}


def _none(value: Any) -> None:
    raise ValueError


def _bool(value: Any) -> bool:
    return _pick(str(value).lower(), {word: truth for truth, words in _TRUTH.items() for word in words})


def _int(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or float(value) != float(value):
        raise ValueError
    return float(value)


def _str(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


_SCALARS: dict[Any, Callable[[Any], Any]] = {bool: _bool, int: _int, float: _float, str: _str, Path: Path, type(None): _none}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path", type(None): "none"}


def describe_type(hint: Any) -> str:
    """A type in a user's words."""
    if _choices(hint):
        return " or ".join(describe_type(kind) for kind in _choices(hint))
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        count = "any number of values" if parts[-1] is Ellipsis else f"{len(parts)} values"
        return f"{count} separated by commas, each {describe_type(parts[0])}"
    if isinstance(hint, type) and issubclass(hint, Enum):
        return f"one of {', '.join(str(choice.value) for choice in hint)}"
    return _WORDS.get(hint, str(hint))
