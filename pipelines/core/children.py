"""The one place that starts other programs: ffmpeg, and this house in an interpreter of its own.

Notable choices: a working directory may belong to a stranger, so neither a program nor a module is ever looked for there:
programs are absolute paths, interpreters run with `-P` (safe path) and find the house where this process found it. A child of
ours goes when its parent goes: it is told the parent's number and looks whether that is still its parent; a signal that the
kernel sends would be bound to one thread.
"""

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pipelines
from pipelines.core.errors import MissingTool

PARENT = "AVATARCLI_PARENT"
"""Environment variable: number of the process that a child goes with."""
SAFE = "PYTHONSAFEPATH"
POLL_S = 0.1
BROKEN = (OSError, subprocess.SubprocessError)
"""What a program that cannot be run, fails or takes too long raises."""
Expired = subprocess.TimeoutExpired
Done = subprocess.CompletedProcess[bytes]
Words = Sequence[str | Path]


def run(
    command: Words, *, output: IO[bytes] | None = None, errors: IO[bytes] | None = None, timeout_s: float | None = None,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:  # fmt: skip
    """Run a program to its end, its output caught where it is not led into a file; an interruption kills it.

    Expired when it takes longer than `timeout_s`.
    """
    return subprocess.run(
        _absolute(command), stdin=subprocess.DEVNULL, stdout=output or subprocess.PIPE, stderr=errors or subprocess.PIPE,
        timeout=timeout_s, env=env,
    )  # fmt: skip


def begin(command: Words, *, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a program that is fed through its standard input, and whose output nobody reads."""
    return subprocess.Popen(_absolute(command), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)


def run_module(
    module: str,
    *words: str | Path,
    output: IO[bytes] | None = None,
    errors: IO[bytes] | None = None,
    timeout_s: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """`python -m MODULE WORDS` of this house, which goes with this process if it calls `go_with_parent`."""
    return run([*interpreter(), "-m", module, *words], output=output, errors=errors, timeout_s=timeout_s, env=environment())


def interpreter() -> list[str]:
    """The beginning of a command that runs this interpreter."""
    return [os.path.abspath(sys.executable), "-P"]


def environment() -> dict[str, str]:
    """The environment of a child of this house: it finds the same modules, none of the working directory, and its parent."""
    home = Path(str(pipelines.__file__)).resolve().parents[1]
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(home), *paths]), SAFE: "1", PARENT: str(os.getpid())}


@contextmanager
def safe_workers() -> Iterator[None]:
    """Workers of a pool of fresh interpreters that is begun here look for no module in the working directory."""
    before = os.environ.get(SAFE)
    os.environ[SAFE] = "1"
    try:
        yield
    finally:
        os.environ.pop(SAFE) if before is None else os.environ.update({SAFE: before})


def go_with_parent() -> None:
    """This process ends as soon as the one that started it has gone; for children of this house (nothing happens in others)."""
    number = os.environ.pop(PARENT, "")
    if number.isdigit():
        go_with(int(number))


def go_with(parent: int) -> None:
    """As `go_with_parent` for a process that knows its parent's number."""
    threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_S)
    os._exit(1)


def _absolute(command: Words) -> list[str]:
    """The command with its program's absolute path; MissingTool where there is none outside the working directory."""
    program, *words = map(str, command)
    if os.path.dirname(program):
        return [os.path.abspath(program), *words]
    paths = [path for path in os.environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(path)]
    place = shutil.which(program, path=os.pathsep.join(paths))
    if place is None:
        raise MissingTool(f"the program {program} is not on this machine; install it, or install avatarcli again.")
    return [place, *words]
