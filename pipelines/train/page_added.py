"""The section of an avatar's page on a capture added to it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.report import html
from pipelines.report.parts import image_of, json_of


def added_section(folder: Path) -> list[tuple[str, str]]:
    """Figures before and after, by capture and region; nothing for an avatar of one capture."""
    record = json_of(folder / "added.json")
    if "captures" not in record:
        return []
    tables = html.join(_table(capture) for capture in reversed(record["captures"]))
    caption = "held-out frames of the added capture: filmed, before, after"
    sheet = image_of(folder / "samples" / "added.png", caption)
    return [("Changes by the added capture", html.sentence(record["sentence"]) + sheet + tables)]


def _table(capture: Mapping[str, Any]) -> str:
    rows = []
    for region, before in capture["before"].items():
        after = capture["after"][region]
        figures = [value for name in ("psnr", "ssim", "sharpness") for value in (before[name], after[name])]
        rows.append([region, before["frames"], *figures, capture["psnr_change"][region]])
    figure_names = ("PSNR before, dB", "after", "SSIM before", "after", "sharpness before", "after", "change, dB")
    name = f"{capture['name']} ({'added' if capture['added'] else 'known already'})"
    return html.table(rows, head=[name, "held-out frames", *figure_names], strong=len(rows) - 1)
