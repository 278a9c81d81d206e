"""`avatarcli demo`: the whole way, offline, on two short clips of synthetic people, with a score against their truth."""

from pathlib import Path
from typing import Annotated

import typer

from avatarcli.options import Budget, Device, OnDevice


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the results go.")] = Path("demo_out"),
    budget: Budget = "8m",
    device: OnDevice = Device.auto,
) -> None:
    """See it work: packaged clips, offline, scored."""
