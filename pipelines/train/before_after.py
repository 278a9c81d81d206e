"""What an added capture changed: figures of the avatar before and after, on the held-out frames of every capture, by region."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.avatar_record import Origin
from pipelines.artifacts.dataset import Dataset
from pipelines.evaluate import PROTOCOL, Pictures, pictures, render_rows, score, tracked_expression
from pipelines.evaluate.regions import region_figures, regions_of

REGIONS = ("mouth", "eyes", "hair", "head")
NOTED_DB, FORGOTTEN_DB = 0.1, 0.5
"""Changes that are called a change, and losses in the head on an older capture that are warned of."""


def figures_of(avatar: Path, dataset: Dataset, device: str) -> tuple[dict[str, Any], Pictures, np.ndarray]:
    """PSNR in dB, SSIM and sharpness ratio by region on the held-out frames; the frames, and their renders [N,S,S,3]."""
    model = load_avatar(avatar, device)
    rows, truth = dataset.rows("test"), pictures(dataset, "test", model.image_size)
    renders = render_rows(model, dataset, rows, tracked_expression(dataset, model))
    found = region_figures(renders, truth, regions_of(dataset, rows, truth, model.prior_landmarks))
    own = score(renders, truth)
    head = {**{name: own[f"{name}_head"] for name in ("psnr", "ssim", "sharpness")}, "frames": len(rows)}
    return {name: (found | {"head": head})[name] for name in REGIONS}, truth, renders


def changes(
    before: Path, after: Path, parts: Sequence[Dataset], origins: Sequence[Origin], device: str
) -> tuple[dict[str, Any], np.ndarray]:
    """The record `added.json` of captures, the added one last, and a sheet of its frames: filmed, before, after."""
    captures, sheet = [], np.zeros((0, 0, 3), np.uint8)
    for number, (part, origin) in enumerate(zip(parts, origins, strict=True)):
        was, truth, shown_before = figures_of(before, part, device)
        now, _, shown_after = figures_of(after, part, device)
        new = number == len(parts) - 1
        captures.append(
            {
                "name": origin.name, "fingerprint": origin.fingerprint, "added": new, "frames": len(truth.image),
                "before": was, "after": now, "psnr_change": {name: change(was[name], now[name]) for name in REGIONS},
            }
        )  # fmt: skip
        sheet = sheet_of(truth.image, shown_before, shown_after)
    return {"protocol": PROTOCOL, "captures": captures, "sentence": sentence(captures)}, sheet


def change(before: Mapping[str, Any], after: Mapping[str, Any]) -> float | None:
    """Of the PSNR in dB; None where no frame shows the region."""
    return None if before["psnr"] is None or after["psnr"] is None else after["psnr"] - before["psnr"]


def sentence(captures: Sequence[Mapping[str, Any]]) -> str:
    """`On held-out frames, teeth.capture got better in mouth (+2.1 dB), worse nowhere; ...`: changes of at least 0.1 dB."""
    parts = []
    for one in captures[::-1]:
        known = {name: value for name, value in one["psnr_change"].items() if value is not None}
        better = [f"{name} ({value:+.1f} dB)" for name, value in known.items() if value >= NOTED_DB]
        worse = [f"{name} ({value:+.1f} dB)" for name, value in known.items() if value <= -NOTED_DB]
        parts.append(f"{one['name']} got better {_where(better)}, worse {_where(worse)}")
    return f"On held-out frames {'; '.join(parts)}."


def forgotten(captures: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each older capture whose held-out heads lost more than FORGOTTEN_DB."""
    lost = [(one["name"], one["psnr_change"]["head"]) for one in captures if not one["added"]]
    return [
        f"the avatar forgot: heads of {name} lost {-change:.1f} dB on held-out frames. Give it a longer --budget, or "
        "a smaller --set adding.new_share or adding.rate."
        for name, change in lost if change <= -FORGOTTEN_DB
    ]  # fmt: skip


def sheet_of(*series: np.ndarray, count: int = 6) -> np.ndarray:
    """uint8 picture: a column for each of `count` frames, a row for each series [N,S,S,3] in 0..1."""
    chosen = np.linspace(0, len(series[0]) - 1, min(count, len(series[0]))).round().astype(int)
    sheet = np.concatenate([np.concatenate([one[number] for one in series]) for number in chosen], axis=1)
    return (sheet * 255).round().astype(np.uint8)


def _where(places: Sequence[str]) -> str:
    return f"in {', '.join(places)}" if places else "nowhere"
