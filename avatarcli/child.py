"""A run in a process of its own, so that a crash of native code ends one row and not the batch."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from avatarcli.settings import flat
from pipelines.batch import Job, Outcome


def run_in_child(job: Job) -> Outcome:
    """`avatarcli run` of a row; what it says goes to `<out>.log`."""
    start = time.perf_counter()
    job.out.parent.mkdir(parents=True, exist_ok=True)
    log = job.out.with_name(job.out.name + ".log")
    with log.open("w") as said:
        done = subprocess.run(command(job), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, text=True)
    seconds = time.perf_counter() - start
    result = _last_object(done.stdout)
    if done.returncode == 0:
        return Outcome(
            exit_code=0, seconds=seconds, figures={stage["stage"]: stage["figures"] for stage in result.get("stages", [])}
        )
    return Outcome(exit_code=done.returncode, seconds=seconds, error=result.get("error") or _died(done.returncode, log))


def command(job: Job) -> list[str]:
    words = [sys.executable, "-m", "avatarcli", "--json", "run", str(job.video), "--drive", str(job.drive), "-o", str(job.out)]
    words += ["--preset", job.preset] + (["--budget", job.budget] if job.budget else [])
    for key, value in flat(job.settings):
        words += ["--set", f"{key}={_text(value)}"]
    return words


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _last_object(text: str) -> dict[str, Any]:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return {}


def _died(code: int, log: Path) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f"the run {how}{': ' + lines[-1] if lines else ''} (log: {log})."
