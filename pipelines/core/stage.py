"""The stage protocol: a stage is a function and a record, not an engine.

`run_stage` fingerprints what was asked (name, version, settings, content of the inputs), skips work already recorded under the
same fingerprint, works in `out.partial` so that an interrupted stage leaves no `out`, and writes the record last.
Inside a stage, `step` does the same for its parts: finished parts of an interrupted run are not repeated.

Notable choices: a record lists the files of its folder. What else lies there is the user's: it moves along when the folder is
replaced. Links are never written through: no work folder of ours holds one.
"""

import glob
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct

from pipelines.core.errors import AvatarError, SettingError, UnusableMaterial
from pipelines.core.files import check_writable, remove_drafts, sha256_file, sha256_json, write_json
from pipelines.core.records import read_record

SCHEMA = 1
RECORD = "stage.json"
ASKED = "asked.json"
"""Fingerprint and settings of the work in a partial folder."""
BESIDE = "beside"
"""Folder of what is published beside the result."""
CHECKPOINT = "checkpoint.safetensors"
"""Where a training keeps what it has learned so far; no refusal deletes it."""
KEPT = "kept"
"""Folder of what lay in a replaced result whose record does not list its files."""
VIDEOS, TRACKS, STILLS = (".mp4", ".mov", ".webm", ".mkv"), (".track", ".csv"), (".png",)
"""Endings of results that are files."""


class StageRecord(Struct, frozen=True, kw_only=True):
    """What a stage writes down of a result."""

    schema: int = SCHEMA
    stage: str = ""
    version: int = 1
    fingerprint: Annotated[str, Meta(min_length=1)]
    settings: Any = None
    seconds: dict[str, float] = {}
    figures: dict[str, Any] = {}
    warnings: list[str] = []
    beside: list[str] = []
    out: str = ""
    """Name of the file that the record lies beside; empty for a folder, and in records of earlier versions."""
    files: list[str] | None = None
    """Relative paths of all files of the folder; None in records of earlier versions."""


class StepRecord(Struct, frozen=True, kw_only=True):
    """What a finished part of a stage writes down."""

    seconds: float
    figures: dict[str, Any]
    order: float


class Question(Struct, frozen=True, kw_only=True):
    """What the work in a partial folder is for."""

    fingerprint: str
    settings: Any = None


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
    old = _known(record_path(out))
    _carry_over(out)
    if out.exists() and old and old.fingerprint == fingerprint:
        return report_from(old, out, "unchanged")
    if out.is_symlink():
        raise SettingError(f"{out} is a link; give the path it points to, or choose another -o.")
    if out.exists() and (not overwrite or old is None or old.stage != stage):
        raise SettingError(_occupied(out, stage, old))
    if is_file_output(out):
        insist_ours(record_path(out), stage)
    _check_beside(out, beside)
    with _opened(out, {"fingerprint": fingerprint, "settings": settings}) as partial:
        figures = work(partial)
        known = {
            "schema": SCHEMA, "stage": stage, "version": version, "fingerprint": fingerprint, "settings": settings,
            "seconds": step_seconds(partial), "figures": figures, "warnings": step_warnings(partial),
            "beside": _names_beside(partial, out, beside), "out": out.name if is_file_output(out) else "",
        }  # fmt: skip
        report = Report(
            stage=stage, out=out, fingerprint=fingerprint, status="done", figures=figures,
            **{name: known[name] for name in ("seconds", "warnings")},
        )  # fmt: skip
        _publish(partial, out, known)
    return report


def step(partial: Path, name: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures of one part of a stage; a part whose record exists in `partial/steps` is not run again."""
    record = partial / "steps" / f"{name}.json"
    if record.exists():
        return read_record(record, StepRecord).figures
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
    """A folder's record is inside it, `a.mp4` has `a.json` (or what `side_stem` says), `a.track` has `a.track.json`."""
    if not is_file_output(out):
        return out / RECORD
    return out.with_name(f"{side_stem(out)}.json")


def side_stem(out: Path) -> str:
    """What the files beside a file result are called: `a` beside `a.mp4`, but `a.mov` beside `a.mov` where both are there."""
    if out.suffix.lower() not in VIDEOS:
        return out.name
    own, known = _known(out.with_name(f"{out.name}.json")), _known(out.with_suffix(".json"))
    if own is not None and own.out == out.name:
        return out.name
    films = {path.name for path in out.parent.glob(f"{glob.escape(out.stem)}.*") if path.suffix.lower() in VIDEOS}
    is_others = known is not None and (known.out in films - {out.name} if known.out else bool(films) and out.name not in films)
    return out.name if is_others else out.stem


def is_file_output(out: Path) -> bool:
    return out.suffix.lower() in {*VIDEOS, *TRACKS, *STILLS}


def fingerprint_of(path: Path) -> str:
    """Content hash: a stage folder's own fingerprint, a file's sha256; never times or names."""
    if path.is_dir():
        return stage_record(path).fingerprint
    return sha256_file(path)


def stage_record(folder: Path) -> StageRecord:
    """The record of a folder that a stage made; UnusableMaterial when there is none, or it is broken."""
    return read_record(folder / RECORD, StageRecord, "avatarcli capture or train")


def report_from(known: StageRecord, out: Path, status: str) -> Report:
    return Report(
        stage=known.stage, out=out, fingerprint=known.fingerprint, status=status, seconds=known.seconds, figures=known.figures,
        warnings=known.warnings,
    )  # fmt: skip


def insist_ours(record: Path, stage: str) -> None:
    """SettingError when a file that is no record of `stage` lies where its record goes."""
    known = _known(record)
    if os.path.lexists(record) and (known is None or known.stage != stage):
        raise SettingError(f"{record} was not made by avatarcli and would be replaced ({stage}); choose another -o.")


def _known(record: Path) -> StageRecord | None:
    """The record at a place; None when there is none, or something else."""
    try:
        return read_record(record, StageRecord)
    except UnusableMaterial:
        return None


def _occupied(out: Path, stage: str, known: StageRecord | None) -> str:
    if known is not None and known.stage == stage:
        return f"{out} already exists and was made from other inputs or settings; choose another -o or pass --overwrite."
    return f"{out} already exists and was not made by `{stage}`; choose another -o."


@contextmanager
def _opened(out: Path, asked: Mapping[str, Any]) -> Iterator[Path]:
    """The work folder of this fingerprint: continued if it is the same, begun anew if it was another's; ours alone.

    It goes when its work is refused, unless it holds the checkpoint of a training, or work of an earlier run that another try
    may continue.
    """
    check_writable(out.resolve().parent)
    partial = out.with_name(out.name + ".partial")
    fresh = _check_partial(partial)
    partial.mkdir(parents=True, exist_ok=True)
    with _locked(partial):
        if not fresh and _question(partial) != asked["fingerprint"]:
            _clear(partial)
            fresh = True
        remove_drafts(partial)
        write_json(partial / ASKED, asked)
        try:
            yield partial
        except AvatarError as error:
            refused = fresh and error.exit_code > 1 or isinstance(error, UnusableMaterial)
            if refused and not (partial / CHECKPOINT).exists():
                shutil.rmtree(partial)  # the same would fail again: nothing here is worth continuing
            raise


def _check_partial(partial: Path) -> bool:
    """Whether no work has begun there; SettingError when the folder is not ours or holds a link."""
    if partial.is_symlink() or partial.exists() and not partial.is_dir():
        raise SettingError(f"{partial} was not made by avatarcli; move it away.")
    if not partial.exists() or all(path.name == ".lock" and not path.is_symlink() for path in partial.iterdir()):
        return True
    for folder, folders, files in os.walk(partial):
        if link := next((name for name in (*folders, *files) if os.path.islink(os.path.join(folder, name))), None):
            raise SettingError(f"{Path(folder) / link} is a link, which avatarcli never makes there; move {partial} away.")
    if not _question(partial):
        raise SettingError(f"{partial} already exists and was not made by avatarcli; move it away.")
    return False


def _question(partial: Path) -> str:
    """Fingerprint of the work in a partial folder; empty where nothing says it."""
    try:
        return read_record(partial / ASKED, Question).fingerprint
    except UnusableMaterial:
        record = _known(partial / RECORD)  # it was about to be published
        return record.fingerprint if record else ""


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
    number = os.open(partial / ".lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    with os.fdopen(number, "r+") as stream:
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
    known = _known(record_path(out))
    ours = known.beside if known else []
    for path in (out.parent / name for name in names if is_file_output(out)):
        if path.is_symlink() or path.exists() and path.name not in ours:
            raise SettingError(f"{path} was not made by avatarcli and would be replaced; choose another -o than {out.name}.")


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
    write_json(partial / RECORD, {**known, "files": sorted({*_files(partial), RECORD})})
    if out.exists():
        os.replace(out, _replaced(out))
    os.replace(partial, out)
    _carry_over(out)


def _replaced(out: Path) -> Path:
    """Where a result waits while another takes its place."""
    return out.with_name(out.name + ".replaced")


def _files(folder: Path) -> list[str]:
    """Relative paths of all files and links in a folder."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]


def _carry_over(out: Path) -> None:
    """Bring what the user put into a replaced result over into the new one, and remove the rest of the old one.

    Does nothing where nothing was replaced; goes on where an earlier run was ended in the middle of it.
    """
    old = _replaced(out)
    record = _known(old / RECORD)
    if is_file_output(out) or not os.path.lexists(old) or not out.is_dir():
        return
    if old.is_symlink() or record is None:
        raise SettingError(f"{old} was not made by avatarcli; move it away.")
    ours, new = set(record.files or ()), set(_files(out))
    for name in _files(old):
        if name not in ours and (record.files is not None or name not in new):
            place = out / name if record.files is not None and name not in new else out / KEPT / name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(old / name, place)
    shutil.rmtree(old)


def step_seconds(partial: Path) -> dict[str, float]:
    """Seconds of the finished steps, in their order."""
    records = {path.stem: read_record(path, StepRecord) for path in (partial / "steps").glob("*.json")}
    return {name: round(value.seconds, 2) for name, value in sorted(records.items(), key=lambda item: item[1].order)}


def step_warnings(partial: Path) -> list[str]:
    """What was warned of while the stage worked here."""
    path = partial / "warnings.json"
    return read_record(path, list[str]) if path.exists() else []
