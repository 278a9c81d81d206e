"""Runs the command line in a process of its own, with parts of the house replaced where a test says so."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def avatarcli(
    *words: str | Path, before: str = "", env: dict[str, str] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """`avatarcli WORDS`; `before` is Python code that runs first."""
    return subprocess.run(
        command(*words, before=before),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env=environment(env),
    )


def command(*words: str | Path, before: str = "") -> list[str]:
    code = f"{before}\nfrom avatarcli.app import main\nmain()"
    return [sys.executable, "-c", code, *map(str, words)]


def environment(env: dict[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160", **(env or {})}
