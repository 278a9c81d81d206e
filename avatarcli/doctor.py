"""`avatarcli doctor`: what this machine has, what is missing, and how to get it."""

from dataclasses import asdict

import typer

from avatarcli.console import console


def doctor() -> None:
    """Check this machine: what is there, what is missing, what it is for and how to get it."""
    from pipelines.doctor import examine

    checks = examine(progress=console())
    marks = {check.name: "ok" if check.ok else "missing" if check.required else "optional" for check in checks}
    console().table(["part", "", "found"], [[check.name, marks[check.name], check.found] for check in checks])
    for check in checks:
        if not check.ok:
            console().say(f"{check.name} is needed for {check.needed_for}. {check.remedy}")
    ready = all(check.ok for check in checks if check.required)
    line = "everything that is required is here" if ready else "something required is missing"
    console().result({"status": "done" if ready else "failed", "checks": [asdict(check) for check in checks]}, line)
    if not ready:
        raise typer.Exit(3)
