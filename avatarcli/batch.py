"""`avatarcli batch`: many people, one job each, every job in its own process."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from avatarcli.console import console


class Only(StrEnum):
    failed = "failed"
    pending = "pending"


def batch(
    jobs: Annotated[Path, typer.Argument(help="A TOML file with [[job]] tables.", show_default=False)],
    retry: Annotated[int, typer.Option("--retry", min=0, help="Retries for a job that fails or crashes.")] = 0,
    outside: Annotated[
        bool, typer.Option("--outside", help="Jobs may name files outside the folder of the jobs file.")
    ] = False,
    only: Annotated[Only | None, typer.Option("--only", help="Run only the jobs in this state.")] = None,
) -> None:
    """Run every job of a file; one that fails does not stop the others."""
    from avatarcli.child import run_in_child
    from pipelines.batch import load_batch, run_batch, told

    states = run_batch(load_batch(jobs, outside), runner=run_in_child, retry=retry, only=only, progress=console())
    rows = [[name, row.state, f"{row.seconds:.0f} s", row.error or row.out] for name, row in states.items()]
    console().table(["name", "state", "time", ""], rows)
    failed = sum(row.state == "failed" for row in states.values())
    line = f"{failed} of {len(rows)} jobs failed" if failed else f"{len(rows)} jobs, none failed"
    console().result(
        {"status": "failed" if failed else "done", "rows": {name: told(row) for name, row in states.items()}}, line
    )
    if failed:
        raise typer.Exit(1)
