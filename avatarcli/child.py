"""A run in a process of its own, so that a crash of native code ends one row and not the batch."""

import json
import os
import signal
import time
from pathlib import Path
from typing import IO, Any

from avatarcli.settings import flat
from pipelines.batch import Job, Outcome
from pipelines.core.children import run_module
from pipelines.core.errors import SettingError

MARK = "log of avatarcli batch, row "
"""How a log of ours begins; other files of its name are not written over."""


def run_in_child(job: Job) -> Outcome:
    """`avatarcli run` of a row; what it says goes to `<out>.log`. Without its object on stdout a run is not done."""
    start = time.perf_counter()
    job.out.parent.mkdir(parents=True, exist_ok=True)
    log = job.out.with_name(job.out.name + ".log")
    try:
        with open_log(log, job.name) as words:
            done = run_module("avatarcli", *arguments(job), errors=words)
    except SettingError as error:
        return Outcome(exit_code=error.exit_code, seconds=0.0, error=str(error))
    seconds, result = time.perf_counter() - start, _last_object(done.stdout)
    if done.returncode == 0 and result.get("status") in ("done", "unchanged") and isinstance(result.get("stages"), list):
        figures = {stage["stage"]: stage["figures"] for stage in result["stages"]}
        return Outcome(exit_code=0, seconds=seconds, figures=figures)
    return Outcome(exit_code=done.returncode or 1, seconds=seconds, error=result.get("error") or _died(done.returncode, log))


def open_log(path: Path, row: str) -> IO[bytes]:
    """The log file of a row, begun anew; SettingError when something else has its name (a link is something else)."""
    head = f"{MARK}{row}\n".encode()
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise SettingError(f"{path} cannot be written ({error.strerror}); move it away.") from error
    stream = os.fdopen(number, "r+b")
    if os.fstat(number).st_size and stream.read(len(MARK)) != MARK.encode():
        stream.close()
        raise SettingError(f"{path} was not made by avatarcli and would be replaced by the log of job {row}; move it away.")
    stream.seek(0)
    stream.truncate()
    stream.write(head)
    stream.flush()
    return stream


def arguments(job: Job) -> list[str]:
    """The words of `avatarcli` that run a row."""
    words = ["--json", "run", "--drive", str(job.drive), "-o", str(job.out), "--preset", job.preset]
    words += ["--budget", job.budget] if job.budget else []
    for key, value in flat(job.settings):
        words += ["--set", f"{key}={_text(value)}"]
    return [*words, "--", str(job.video)]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _last_object(text: bytes) -> dict[str, Any]:
    """The object that a run prints; empty when it printed none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _died(code: int, log: Path) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    how += "" if code else " and no result"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()[1:] if line.strip()]
    return f"the run {how}{': ' + lines[-1] if lines else ''} (log: {log})."
