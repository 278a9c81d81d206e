"""Many people at once: rows of a jobs file, run one after another, with states that survive a kill.

A row is video, driver and settings of one person. States lie in `batch.json` beside the folder of results; each is written
atomically before and after its row, so a second start continues: rows done stay done unless they were changed or their result
is gone. The runner is handed in; the command line starts one child process a row.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pipelines.core.errors import SettingError
from pipelines.core.files import check_writable, read_json, sha256_json, write_json
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


def load_batch(path: Path) -> Batch:
    """The batch of a jobs file: `[defaults]` and `[[job]]` tables; relative paths are meant from the file's folder.

    `out` of `[defaults]` (default `out`) is the folder of all results, a row's is `<out>/<name>` unless it has its own.
    """
    table = _read(path)
    defaults = dict(table.get("defaults", {}))
    root = path.parent / defaults.pop("out", "out")
    rows = table.get("job", [])
    if not rows:
        raise SettingError(f"{path} has no [[job]] rows.")
    jobs = tuple(
        _job({"out": root / str(row.get("name", "")), **defaults, **row}, path, number) for number, row in enumerate(rows, 1)
    )
    for value in ("name", "out"):
        seen = [str(getattr(job, value)) for job in jobs]
        twice = next((text for text in seen if seen.count(text) > 1), None)
        if twice is not None:
            raise SettingError(f"{path}: two rows have the {value} {twice!r}; each needs its own.")
    return Batch(jobs=jobs, states=root.parent / STATES, source=path.name)


def run_batch(batch: Batch, *, runner: Runner, retry: int = 0, only: str | None = None, progress: Progress) -> dict[str, Any]:
    """Run what is not done yet (`only="failed"`: what failed) and return all states, `{name: {"state", "seconds", ...}}`."""
    check_writable(batch.states.parent)
    states = _states(batch)
    chosen = [job for job in batch.jobs if states[job.name]["state"] != "done" and only in (None, states[job.name]["state"])]
    with progress.task("batch", total=len(chosen)) as task:
        for job in chosen:
            task.note(job.name)
            states[job.name] = _row(job, batch, states, runner, retry)
            _keep(batch, states)
            task.advance()
            if states[job.name]["state"] == "failed":
                progress.warn(f"{job.name}: {states[job.name]['error']}")
    return states


def _row(job: Job, batch: Batch, states: dict[str, Any], runner: Runner, retry: int) -> dict[str, Any]:
    """The state of a row after its run, tried again up to `retry` times while it fails in a way that may pass."""
    seconds = 0.0
    for attempt in range(1, retry + 2):
        states[job.name] = {"state": "running", "fingerprint": job.fingerprint, "tries": attempt}
        _keep(batch, states)
        outcome = runner(job)
        seconds += outcome.seconds
        if outcome.exit_code in (0, *FINAL):
            break
    state = {"state": "failed" if outcome.exit_code else "done", "fingerprint": job.fingerprint, "out": str(job.out)}
    state |= {"tries": attempt, "seconds": round(seconds, 1), "exit_code": outcome.exit_code}
    return state | ({"error": outcome.error} if outcome.exit_code else {"figures": dict(outcome.figures)})


def _states(batch: Batch) -> dict[str, Any]:
    """Known states of the rows; a changed row, or one whose result is gone, is pending again."""
    known = read_json(batch.states) if batch.states.exists() else {"jobs": batch.source, "rows": {}}
    if known["jobs"] != batch.source:
        raise SettingError(f"{batch.states} belongs to {known['jobs']}; give {batch.source} an `out` in another folder.")
    return {job.name: _known(job, known["rows"].get(job.name, {})) for job in batch.jobs}


def _known(job: Job, state: Mapping[str, Any]) -> dict[str, Any]:
    stale = state.get("fingerprint") != job.fingerprint or (state["state"] == "done" and not job.out.exists())
    return {"state": "pending"} if stale or state["state"] == "running" else dict(state)


def _keep(batch: Batch, states: Mapping[str, Any]) -> None:
    write_json(batch.states, {"schema": SCHEMA, "jobs": batch.source, "rows": states})


def _read(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise SettingError(f"the jobs file {path} does not exist.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingError(f"the jobs file {path} cannot be read: {error}.") from error
    _check_keys(table, ("defaults", "job"), str(path))
    return table


def _job(row: Mapping[str, Any], path: Path, number: int) -> Job:
    said = f"{path}, row {number}"
    _check_keys(row, [field.name for field in fields(Job)], said)
    for key in ("name", "video", "drive"):
        if not isinstance(row.get(key), str) or not row[key]:
            raise SettingError(f"{said}: `{key}` is missing.")
    if Path(row["name"]).name != row["name"] or row["name"].startswith("."):
        raise SettingError(f"{said}: the name {row['name']!r} cannot be a folder name.")
    return Job(**{**row, **{key: path.parent / row[key] for key in ("video", "drive", "out")}})


def _check_keys(table: Mapping[str, Any], known: Sequence[str], said: str) -> None:
    for key in table:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            raise SettingError(
                f"{said}: unknown key {key!r}; {f'did you mean {near[0]!r}?' if near else 'known: ' + ', '.join(known) + '.'}"
            )
