"""`avatarcli verify`: is a file one of ours?"""

from pathlib import Path
from typing import Annotated

import typer

from avatarcli.console import console


def verify(
    file: Annotated[Path, typer.Argument(help="A video, a picture, or a folder of PNG files.", show_default=False)],
) -> None:
    """Say whether a file was rendered by avatarcli, by its manifest and its mark. Exit code 1: not ours, or tampered with."""
    from pipelines.provenance.verify import verify as look

    with console().task(f"looking at {file.name}"):
        found = look(file)
    status = "ours" if found.ours else "tampered" if found.tampered else "foreign"
    console().result({"status": status, "file": str(file), **found.record()}, found.sentence())
    if not found.ours:
        raise typer.Exit(1)
