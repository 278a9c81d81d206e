"""Many people at once: rows of a jobs file, run one after another, with states that survive a kill.

A row is video, driver and settings of one person. States lie in `batch.json` beside the folder of results; each is written
atomically before and after its row, so a second start continues: rows done stay done unless they were changed or their result
is gone. The runner is handed in; the command line starts one child process a row.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import check_writable, sha256_json, write_json
from pipelines.core.records import as_record, read_record, read_toml
from pipelines.core.stage import Progress

SCHEMA = 1
STATES = "batch.json"
FINAL = (2, 3, 4)
"""Exit codes that another try cannot change: settings, missing tools, unusable material."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One row of the jobs file, defaults filled in and paths resolved."""

    name: str
    video: Path
    drive: Path
    out: Path
    """Folder of this row's results."""
    preset: str = "quick"
    budget: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Nested tables of settings, as `avatarcli run --settings` reads them."""

    @property
    def fingerprint(self) -> str:
        return sha256_json(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a row ended: exit code 0 and the run's figures, or the error sentence."""

    exit_code: int
    seconds: float
    error: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The jobs of a file and the place of their states."""

    jobs: tuple[Job, ...]
    states: Path
    source: str
    """Name of the jobs file; states of another file are not touched."""


Runner = Callable[[Job], Outcome]


Text = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]


class RowState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `batch.json` says of a row."""

    state: Literal["pending", "running", "done", "failed"] = "pending"
    fingerprint: str = ""
    out: str = ""
    tries: Annotated[int, Meta(ge=0)] = 0
    seconds: Annotated[float, Meta(ge=0)] = 0.0
    exit_code: int = 0
    error: str = ""
    figures: dict[str, Any] = {}


class States(Struct, frozen=True, kw_only=True):
    """`batch.json`."""

    jobs: str
    rows: dict[str, RowState]
    schema: Literal[1] = SCHEMA


class JobsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A jobs file as it is written; rows are judged once the defaults are filled in."""

    defaults: dict[str, Any] = {}
    job: list[dict[str, Any]] = []


class Results(Struct, frozen=True):
    """The folder of all results in `[defaults]`."""

    out: Text


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row with the defaults filled in, paths as they are written."""

    name: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
    video: Text
    drive: Text
    out: Text
    preset: Text = "quick"
    budget: Text | None = None
    settings: dict[str, Any] = {}


def load_batch(path: Path, outside: bool = False) -> Batch:
    """The batch of a jobs file: `[defaults]` and `[[job]]` tables; relative paths are meant from the file's folder.

    `out` of `[defaults]` (default `out`) is the folder of all results, a row's is `<out>/<name>` unless it has its own. Paths
    lead out of the jobs file's folder only where `outside` allows it. SettingError names the row and what is wrong.
    """
    try:
        table = read_toml(path, JobsFile)
        defaults = dict(table.defaults)
        folder = as_record({"out": defaults.pop("out", "out")}, Results, f"{path}, [defaults]").out
        if not table.job:
            raise SettingError(f"{path} has no [[job]] rows.")
        rows = [{"out": f"{folder}/{row.get('name', '')}", **defaults, **row} for row in table.job]
        jobs = tuple(_job(row, path, f"{path}, row {number}", outside) for number, row in enumerate(rows, 1))
    except UnusableMaterial as error:
        raise SettingError(f"the jobs file {error}" if str(error).startswith(f"{path} ") else str(error)) from error
    for value in ("name", "out"):
        seen = [str(getattr(job, value)) for job in jobs]
        twice = next((text for text in seen if seen.count(text) > 1), None)
        if twice is not None:
            raise SettingError(f"{path}: two rows have the {value} {twice!r}; each needs its own.")
    results = _inside(path.parent, folder, f"{path}, `out` of [defaults]", outside)
    home = Path(os.path.abspath(path.parent))
    return Batch(jobs=jobs, states=(home if results == home else results.parent) / STATES, source=path.name)


def run_batch(
    batch: Batch, *, runner: Runner, retry: int = 0, only: str | None = None, progress: Progress
) -> dict[str, RowState]:
    """Run what is not done yet (`only="failed"`: what failed) and return the state of every row by its name."""
    check_writable(batch.states.parent)
    states = _states(batch)
    chosen = [job for job in batch.jobs if states[job.name].state != "done" and only in (None, states[job.name].state)]
    with progress.task("batch", total=len(chosen)) as task:
        for job in chosen:
            task.note(job.name)
            states[job.name] = _row(job, batch, states, runner, retry)
            _keep(batch, states)
            task.advance()
            if states[job.name].state == "failed":
                progress.warn(f"{job.name}: {states[job.name].error}")
    return states


def _row(job: Job, batch: Batch, states: dict[str, RowState], runner: Runner, retry: int) -> RowState:
    """The state of a row after its run, tried again up to `retry` times while it fails in a way that may pass."""
    seconds = 0.0
    for attempt in range(1, retry + 2):
        states[job.name] = RowState(state="running", fingerprint=job.fingerprint, tries=attempt)
        _keep(batch, states)
        outcome = _with_result(job, runner(job))
        seconds += outcome.seconds
        if outcome.exit_code in (0, *FINAL):
            break
    return RowState(
        state="failed" if outcome.exit_code else "done", fingerprint=job.fingerprint, out=str(job.out), tries=attempt,
        seconds=round(seconds, 1), exit_code=outcome.exit_code, error=outcome.error, figures=dict(outcome.figures),
    )  # fmt: skip


def _with_result(job: Job, outcome: Outcome) -> Outcome:
    """A run that left nothing behind failed, whatever it says."""
    if outcome.exit_code or job.out.exists():
        return outcome
    return replace(outcome, exit_code=1, error=f"the run ended well but left no {job.out}.")


def _states(batch: Batch) -> dict[str, RowState]:
    """Known states of the rows; a changed row, or one whose result is gone, is pending again."""
    known = read_record(batch.states, States) if batch.states.exists() else States(jobs=batch.source, rows={})
    if known.jobs != batch.source:
        raise SettingError(f"{batch.states} belongs to {known.jobs}; give {batch.source} an `out` in another folder.")
    return {job.name: _known(job, known.rows.get(job.name, RowState())) for job in batch.jobs}


def _known(job: Job, state: RowState) -> RowState:
    stale = state.fingerprint != job.fingerprint or (state.state == "done" and not job.out.exists())
    return RowState() if stale or state.state == "running" else state


def _keep(batch: Batch, states: Mapping[str, RowState]) -> None:
    write_json(
        batch.states, {"schema": SCHEMA, "jobs": batch.source, "rows": {name: told(row) for name, row in states.items()}}
    )


def told(row: RowState) -> dict[str, Any]:
    """A state as JSON has it: without what does not apply."""
    return {
        "state": row.state,
        **{name: value for name in row.__struct_fields__ if (value := getattr(row, name)) not in ("", {})},
    }


def _job(row: Mapping[str, Any], path: Path, place: str, outside: bool) -> Job:
    for key in row:
        if key not in Row.__struct_fields__:
            near = get_close_matches(key, Row.__struct_fields__, n=1)
            known = ", ".join(Row.__struct_fields__)
            raise SettingError(f"{place}: unknown key {key!r}; {f'did you mean {near[0]!r}?' if near else f'known: {known}.'}")
    given = as_record(row, Row, place)
    if Path(given.name).name != given.name or given.name.startswith("."):
        raise SettingError(f"{place}: the name {given.name!r} cannot be a folder name.")
    paths = {key: _inside(path.parent, getattr(given, key), f"{place}, {key}", outside) for key in ("video", "drive", "out")}
    return Job(name=given.name, preset=given.preset, budget=given.budget, settings=given.settings, **paths)


def _inside(folder: Path, text: str, place: str, outside: bool) -> Path:
    """The absolute path of `text`, meant from `folder`; SettingError when it, or a link in it, leads out of the folder."""
    path = Path(os.path.abspath(folder / text))
    if not outside and not path.resolve().is_relative_to(folder.resolve()):
        raise SettingError(f"{place}: {text!r} lies outside the folder of the jobs file; allow it with --outside.")
    return path
