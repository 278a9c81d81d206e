"""`avatarcli verify`: did avatarcli render this file?"""

from pathlib import Path
from typing import Annotated

import typer

from avatarcli.console import console


def verify(
    file: Annotated[Path, typer.Argument(help="A video, a picture, or a folder of PNG files.", show_default=False)],
) -> None:
    """Check by manifest and watermark whether avatarcli rendered a file. Exit code 1: it did not, or the file was changed."""
    from pipelines.provenance.verify import verify as look

    with console().task(f"checking {file.name}"):
        found = look(file)
    status = "ours" if found.ours else "tampered" if found.tampered else "foreign"
    console().result({"status": status, "file": str(file), **found.record()}, found.sentence())
    if not found.ours:
        raise typer.Exit(1)
