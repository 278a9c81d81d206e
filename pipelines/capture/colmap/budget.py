"""What COLMAP's process may take, and when it has to go; runs in the child process of `pipelines.capture.colmap.worker`.

Notable choices: time is computing time of this process (CPU seconds of all its threads), so a busy machine gives the same
cameras as an idle one, only later. A run that is killed leaves this process behind for a moment; the next run's process waits
for it, so that never two write into one database.
"""

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SPENT = 75
"""Exit code of a process whose time was spent."""
POLL_S = 0.5


class Budget:
    """Watches over this process: it ends when its computing time is spent."""

    def __init__(self) -> None:
        self._end_at = math.inf
        threading.Thread(target=self._watch, name="budget", daemon=True).start()

    def allow(self, seconds: float) -> None:
        """Begin a part of the work with `seconds` for it; a model that is half grown by then is none."""
        self._end_at = time.process_time() + seconds

    def _watch(self) -> None:
        while time.process_time() <= self._end_at:
            time.sleep(POLL_S)
        os._exit(SPENT)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until no other process works in the folder; the lock goes with the process that holds it."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (folder / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
