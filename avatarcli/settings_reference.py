"""The page docs/settings.md, made of the settings classes: their fields, types, defaults and the texts below the fields.

python -m avatarcli.settings_reference docs/settings.md

Notable choices: the texts are read from the sources with `ast`, because Python keeps no docstring of a field; so a setting is
described in one place, and a test compares the page with what this module would write.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from avatarcli.bounds import LARGEST, bounds_of
from avatarcli.settings import describe_type, group_of, types_of

PIPE = "\\|"
"""A bar that does not end a cell."""
INTRODUCTION = """\
# Settings

Every setting has a name of dotted parts. Change one with `--set NAME=VALUE` (as often as you like), or several with
`--settings FILE.toml`. A file with tables `[capture]`, `[train]` and `[drive]` serves these commands and `run`. In `run` a
name begins with its stage (`--set train.finetune.steps=400`); where only one stage has it, the stage may be left out. A name
that does not exist is an error that proposes the nearest one. `train` has the defaults of its preset `quick`; those of the
other presets are given where they differ. A result keeps the settings it was made with in its `stage.json`.

This page is generated: `python -m avatarcli.settings_reference docs/settings.md`.
"""


@dataclass(frozen=True)
class Chapter:
    """The settings of one command."""

    command: str
    base: Any
    """An instance: its fields, and their defaults."""
    presets: Mapping[str, Any] = field(default_factory=dict)
    """Instances with other defaults, by name."""
    group: str = ""
    """What the names begin with."""


def chapters() -> list[Chapter]:
    """The commands that take `--set`, in the order in which they are used."""
    from pipelines.capture import CaptureSettings
    from pipelines.drive import DriveSettings
    from pipelines.drive.motion.record_track import TakeSettings
    from pipelines.prior.people.shooting import SynthSettings
    from pipelines.prior.train.faces import FacesSettings
    from pipelines.prior.train.posed import PosedSettings, recipes
    from pipelines.prior.train.supervised import SupervisedSettings
    from pipelines.prior.train.training import PriorTrainSettings
    from pipelines.train import PRESETS
    from pipelines.train.continue_training import Adding

    others = {name: preset for name, preset in PRESETS.items() if name != "quick"}
    return [
        Chapter("avatarcli capture", CaptureSettings()),
        Chapter("avatarcli train", PRESETS["quick"], others),
        Chapter("avatarcli train --add", Adding(), group="adding"),
        Chapter("avatarcli drive", DriveSettings()),
        Chapter("avatarcli track", TakeSettings()),
        Chapter("avatarcli prior synth", SynthSettings()),
        Chapter("avatarcli prior faces", FacesSettings()),
        Chapter("avatarcli prior train", PriorTrainSettings()),
        Chapter("avatarcli prior train --recipe supervised", SupervisedSettings()),
        *(Chapter(f"avatarcli prior train --recipe {name}", PosedSettings()) for name in recipes()),
    ]


def reference() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(line for chapter in chapters() for line in _chapter(chapter))])


def _chapter(chapter: Chapter) -> Iterator[str]:
    yield f"## `{chapter.command}`\n"
    yield from _group(chapter.group, chapter.base, chapter.presets)


def _group(name: str, base: Any, presets: Mapping[str, Any]) -> Iterator[str]:
    """The table of a group's own settings, then the groups in it."""
    kinds, texts = types_of(type(base)), field_texts(type(base))
    if name:
        yield f"### `{name}`\n"
        if has_text(type(base)):
            yield f"{_line(type(base).__doc__)}\n"
    single = {key: kind for key, kind in kinds.items() if group_of(kind) is None}
    if single:
        yield "| setting | default | values | |\n|---|---|---|---|"
        prefix = f"{name}." if name else ""
        for key, kind in single.items():
            cells = (f"`{prefix}{key}`", _default(key, base, presets), _values(prefix + key, kind), texts.get(key, ""))
            yield f"| {' | '.join(cell.replace('|', PIPE) for cell in cells)} |"
        yield ""
    for key in [key for key in kinds if key not in single]:
        inner = {preset: getattr(value, key) for preset, value in presets.items()}
        yield from _group(f"{name}.{key}" if name else key, getattr(base, key), inner)


def _default(key: str, base: Any, presets: Mapping[str, Any]) -> str:
    value = getattr(base, key)
    others = [f"{name}: {_value(getattr(preset, key))}" for name, preset in presets.items() if getattr(preset, key) != value]
    return "; ".join([_value(value), *others])


def _values(key: str, kind: Any) -> str:
    """A type in words, with the bounds of its numbers."""
    number = next((part for part in (kind, *get_args(kind)) if part in (int, float)), None)
    if number is None:
        return describe_type(kind)
    low, high = bounds_of(key, number)
    return f"{describe_type(kind)}; {f'at least {low:g}' if high >= LARGEST else f'{low:g} to {high:g}'}"


def _value(value: Any) -> str:
    """As it is written behind `--set NAME=`."""
    if value is None:
        return "`none`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    return f"`{','.join(map(str, value)) if isinstance(value, tuple) else value}`"


def has_text(kind: type) -> bool:
    """Whether a class says what it is; a dataclass without docstring gets its signature from Python."""
    return bool(kind.__doc__) and not str(kind.__doc__).startswith(f"{kind.__name__}(")


def field_texts(kind: type) -> dict[str, str]:
    """The text below each field of a class and of its bases, by the field's name."""
    texts: dict[str, str] = {}
    for base in reversed([part for part in kind.__mro__ if part is not object]):
        body = _class_body(base)
        for statement, after in zip(body, body[1:], strict=False):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and _is_text(after):
                texts[statement.target.id] = _line(ast.literal_eval(after.value))  # type: ignore[attr-defined]
    return texts


def _class_body(kind: type) -> list[ast.stmt]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    return tree.body[0].body  # type: ignore[attr-defined]


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
    )


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    from pipelines.core.files import write_text

    write_text(Path(sys.argv[1]), reference())
