"""The stage protocol: a stage is a function and a record, not an engine.

`run_stage` fingerprints what was asked (name, version, settings, content of the inputs), skips work already recorded under the
same fingerprint, works in `out.partial` so that an interrupted stage leaves no `out`, and writes the record last.
Inside a stage, `step` does the same for its parts: finished parts of an interrupted run are not repeated.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import check_writable, read_json, sha256_file, sha256_json, write_json

SCHEMA = 1
RECORD = "stage.json"
ASKED = "asked.json"
"""Fingerprint and settings of the work in a partial folder."""
BESIDE = "beside"
"""Folder of what is published beside the result."""
VIDEOS, TRACKS = (".mp4", ".mov", ".webm", ".mkv"), (".track", ".csv")
"""Endings of results that are files."""


class Task(Protocol):
    def advance(self, count: int = 1) -> None: ...
    def note(self, text: str) -> None: ...


class Progress(Protocol):
    """Where a stage says how far it is; the command line draws it, libraries pass `Silent()`."""

    def task(self, name: str, total: int | None = None) -> AbstractContextManager[Task]: ...
    def say(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...


class Silent:
    """A Progress and Task that shows nothing."""

    @contextmanager
    def task(self, name: str, total: int | None = None) -> Iterator[Task]:
        yield self

    def advance(self, count: int = 1) -> None: ...
    def note(self, text: str) -> None: ...
    def say(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a stage did: figures and warnings are JSON values, `seconds` has one entry a step."""

    stage: str
    out: Path
    fingerprint: str
    status: str
    """`done` or `unchanged`."""
    seconds: dict[str, float] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


Work = Callable[[Path], dict[str, Any]]


def run_stage(
    stage: str, *, version: int, inputs: Mapping[str, Path], settings: Any, out: Path, work: Work, overwrite: bool = False,
    beside: Sequence[str] = (),
) -> Report:  # fmt: skip
    """Run `work(partial_folder) -> figures` once for this fingerprint and publish its folder, or its file, as `out`.

    An `out` with a suffix of a video or track is a file: `work` leaves it in the partial folder under its own name, and the
    record lies beside it (`out.json`). What `work` leaves in the partial folder's `beside` is published beside a file, or in a
    folder; names that are said beforehand are checked. Raises SettingError when `out` or one of them holds something else
    and `overwrite` is not given.
    """
    for name, path in inputs.items():
        if not path.exists():
            raise UnusableMaterial(f"the {name} {path} does not exist.")
    fingerprint = sha256_json([stage, version, settings, {name: fingerprint_of(path) for name, path in inputs.items()}])
    record = record_path(out)
    if out.exists():
        known = read_json(record) if record.exists() else {}
        if known.get("fingerprint") == fingerprint:
            return report_from(known, out, "unchanged")
        if not overwrite or known.get("stage") != stage:
            raise SettingError(_occupied(out, stage, known))
    elif is_file_output(out) and record.exists() and read_json(record).get("stage") != stage:
        raise SettingError(f"{record} already exists and was not made by avatarcli; choose another -o or move it.")
    _check_beside(out, beside)
    with _opened(out, {"fingerprint": fingerprint, "settings": settings}) as partial:
        figures = work(partial)
        known = {
            "schema": SCHEMA, "stage": stage, "version": version, "fingerprint": fingerprint, "settings": settings,
            "seconds": step_seconds(partial), "figures": figures, "warnings": step_warnings(partial),
            "beside": _names_beside(partial, out, beside),
        }  # fmt: skip
        _publish(partial, out, known)
    return report_from(known, out, "done")


def step(partial: Path, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures of one part of a stage; a part whose record exists in `partial/steps` is not run again."""
    record = partial / "steps" / f"{name}.json"
    if record.exists():
        return read_json(record)["figures"]
    start = time.perf_counter()
    figures = work()
    write_json(record, {"seconds": time.perf_counter() - start, "figures": figures, "order": time.time()})
    return figures


def warn_in_record(partial: Path, text: str) -> None:
    """Keep a warning with the stage, so that reports show it (the caller also tells the user at once)."""
    known = step_warnings(partial)
    if text not in known:
        write_json(partial / "warnings.json", [*known, text])


def record_path(out: Path) -> Path:
    """A folder's record is inside it, `a.mp4` has `a.json`, `a.track` has `a.track.json`."""
    if not is_file_output(out):
        return out / RECORD
    return out.with_suffix(".json") if out.suffix.lower() in VIDEOS else out.with_name(out.name + ".json")


def is_file_output(out: Path) -> bool:
    return out.suffix.lower() in {*VIDEOS, *TRACKS}


def fingerprint_of(path: Path) -> str:
    """Content hash: a stage folder's own fingerprint, a file's sha256; never times or names."""
    if path.is_dir():
        record = read_json(path / RECORD, "avatarcli capture or train")
        return str(record["fingerprint"])
    return sha256_file(path)


def report_from(known: Mapping[str, Any], out: Path, status: str) -> Report:
    return Report(
        stage=known["stage"], out=out, fingerprint=known["fingerprint"], status=status,
        seconds=known["seconds"], figures=known["figures"], warnings=known["warnings"],
    )  # fmt: skip


def _occupied(out: Path, stage: str, known: Mapping[str, Any]) -> str:
    if known.get("stage") == stage:
        return f"{out} already exists and was made from other inputs or settings; choose another -o or pass --overwrite."
    return f"{out} already exists and was not made by `{stage}`; choose another -o."


@contextmanager
def _opened(out: Path, asked: Mapping[str, Any]) -> Iterator[Path]:
    """The work folder of this fingerprint: continued if it is the same, begun anew if it was another's; ours alone."""
    check_writable(out.resolve().parent)
    partial = out.with_name(out.name + ".partial")
    mark = partial / ASKED
    if partial.exists() and not mark.exists() and not (partial / RECORD).exists() and any(partial.iterdir()):
        raise SettingError(f"{partial} already exists and was not made by avatarcli; move it away.")
    partial.mkdir(parents=True, exist_ok=True)
    with _locked(partial):
        if mark.exists() and read_json(mark)["fingerprint"] != asked["fingerprint"]:
            _clear(partial)
        write_json(mark, asked)
        try:
            yield partial
        except UnusableMaterial:
            shutil.rmtree(partial)  # the same material would fail again: nothing here is worth continuing
            raise


def _clear(partial: Path) -> None:
    """Remove another question's work, but not the lock that is held."""
    for path in partial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != ".lock":
            path.unlink()


@contextmanager
def _locked(partial: Path) -> Iterator[None]:
    """Refuse to work beside another living process in the same folder (the lock goes with the process, or with an error)."""
    try:
        import fcntl
    except ImportError:  # Windows: no advisory locks, two processes there are the user's care
        yield
        return
    with (partial / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise SettingError(f"another avatarcli is working in {partial}; wait for it or choose another -o.") from error
        yield


def _names_beside(partial: Path, out: Path, names: Sequence[str]) -> list[str]:
    """What will lie beside `out`: what `work` left, and what an interrupted publication already put there."""
    there = {name for name in names if is_file_output(out) and (out.parent / name).exists()}
    return sorted(there | {path.name for path in (partial / BESIDE).glob("*")})


def _check_beside(out: Path, names: Sequence[str]) -> None:
    """SettingError when a file of another origin has the name of one that will be published beside `out`."""
    record = record_path(out)
    known = read_json(record).get("beside", []) if record.exists() else []
    for path in (out.parent / name for name in names if name not in known and is_file_output(out)):
        if path.exists():
            raise SettingError(f"{path} already exists and was not made by avatarcli; choose another -o or move it.")


def _publish(partial: Path, out: Path, known: dict[str, Any]) -> None:
    if is_file_output(out):
        out.unlink(missing_ok=True)
        write_json(record_path(out), known)  # first, so that what lies beside is known to be ours if we are killed here
    for path in (partial / BESIDE).glob("*"):
        os.replace(path, (out.parent if is_file_output(out) else partial) / path.name)
    if is_file_output(out):
        os.replace(partial / out.name, out)
        shutil.rmtree(partial)
        return
    shutil.rmtree(partial / BESIDE, ignore_errors=True)
    for name in (ASKED, "warnings.json", ".lock"):
        (partial / name).unlink(missing_ok=True)
    write_json(partial / RECORD, known)
    if out.exists():
        shutil.rmtree(out)
    os.replace(partial, out)


def step_seconds(partial: Path) -> dict[str, float]:
    """Seconds of the finished steps, in their order."""
    records = {path.stem: read_json(path) for path in (partial / "steps").glob("*.json")}
    return {name: round(value["seconds"], 2) for name, value in sorted(records.items(), key=lambda item: item[1]["order"])}


def step_warnings(partial: Path) -> list[str]:
    """What was warned of while the stage worked here."""
    path = partial / "warnings.json"
    return read_json(path) if path.exists() else []
