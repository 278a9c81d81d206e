"""`avatarcli doctor`: what is on this machine, what is missing for what, how to get it."""

from dataclasses import asdict

import typer

from avatarcli.console import console


def doctor() -> None:
    """Say what is missing for what, and how to get it."""
    from pipelines.doctor import examine

    checks = examine(progress=console())
    marks = {check.name: "ok" if check.ok else "missing" if check.required else "not there" for check in checks}
    console().table(["part", "", "found"], [[check.name, marks[check.name], check.found] for check in checks])
    for check in checks:
        if not check.ok:
            console().say(f"{check.name} is needed for {check.needed_for}. {check.remedy}")
    ready = all(check.ok for check in checks if check.required)
    line = "what the default way needs is here" if ready else "the default way cannot run here"
    console().result({"status": "done" if ready else "failed", "checks": [asdict(check) for check in checks]}, line)
    if not ready:
        raise typer.Exit(3)
