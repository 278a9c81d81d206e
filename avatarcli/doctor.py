"""`avatarcli doctor`: what is on this machine, what is missing for what, how to get it."""

from dataclasses import asdict

import typer

from avatarcli.console import console


def doctor() -> None:
    """Say what is missing for what, and how to get it."""
    from pipelines.doctor import examine

    checks = examine(progress=console())
    console().table("", ["part", "", "found"], [[check.name, check.mark, check.found] for check in checks])
    for check in checks:
        if not check.ok:
            console().say(f"{check.name}: needed for {check.needed_for}. {check.remedy}")
    ready = all(check.ok for check in checks if check.required)
    line = "everything the default way needs is here" if ready else "the default way cannot run here"
    console().result({"status": "done" if ready else "failed", "checks": [asdict(check) for check in checks]}, [line])
    if not ready:
        raise typer.Exit(3)
