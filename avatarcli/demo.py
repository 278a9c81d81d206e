"""`avatarcli demo`: every stage, offline, on two short clips of synthetic people, scored against their ground truth."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from avatarcli.console import console, report_json
from avatarcli.options import Budget, Device, OnDevice, pick_device, seconds


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.")] = Path("demo_out"),
    budget: Budget = "8m",
    device: OnDevice = Device.auto,
) -> None:
    """Run everything on two packaged clips of synthetic people, offline, and score the result."""
    budget_s = seconds(budget)
    from pipelines.demo import demo_clips, score_demo
    from pipelines.run import RunSettings, run
    from pipelines.train import PRESETS

    clips, settings = demo_clips(), RunSettings(train=replace(PRESETS["quick"], budget_s=budget_s))
    reports = run(clips.capture, clips.driver, out, settings, progress=console(), device=pick_device(device))
    captured, trained, driven = (report.out for report in reports)
    score = score_demo(captured, trained, driven, clips, console())
    for report in reports:
        console().finished(report)
    console().say(console().evaluation(reports[1].figures["evaluation"]))
    console().table(["against the ground truth", "measured", "goal"], score_table(score))
    stages = [report_json(report) for report in reports]
    console().result({"status": reports[-1].status, "out": str(driven), "stages": stages, "score": score}, str(driven))


def score_table(score: dict[str, Any]) -> list[list[str]]:
    """Rows of the score for people."""
    camera, follows, over_run = score["camera"]["rotation_deg"], score["follows"], score["held_out"]["over_run"]
    rose = f"{over_run[0]:.1f} → {over_run[-1]:.1f} dB" if over_run else "–"
    return [
        ["camera rotation, median", f"{camera:.2f}°", f"at most {score['goals']['rotation_deg']:.0f}°"],
        ["jaw, correlation", _number(follows.get("jawOpen")), f"at least {score['goals']['jaw']}"],
        ["blink, correlation", _number(follows.get("eyeBlink")), ""],
        ["held-out PSNR inside the head, first to last", rose, "rising"],
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
