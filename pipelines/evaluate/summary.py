"""Held-out figures for people: sentences and one table, of the page of an avatar, of an evaluation and of the console."""

from collections.abc import Mapping
from typing import Any

FIGURES = {
    "psnr_head": "PSNR head, dB", "psnr_full": "PSNR frame, dB", "ssim_head": "SSIM head", "ssim_full": "SSIM frame",
    "sharpness_head": "sharpness",
}  # fmt: skip


def verdict(metrics: Mapping[str, Any]) -> list[str]:
    """What the held-out figures mean, in sentences: the avatar beside the mean frame, retrieval and the best training frame."""
    if "avatar" not in metrics or "baselines" not in metrics:
        return []
    own, others = metrics["avatar"]["psnr_head"], {name: row["psnr_head"] for name, row in metrics["baselines"].items()}
    said = {"mean": "the mean training frame", "retrieval": "the training frame with the nearest expression and pose"}
    said |= {"oracle": "the best training frame for each picture", "enlarged": "the generator's picture enlarged"}
    parts = [
        f"{abs(own - value):.1f} dB {'above' if own >= value else 'below'} {said.get(name, name)}"
        for name, value in others.items()
    ]
    size = f" of {metrics['image_size']} pixels" if "image_size" in metrics else ""
    return [f"Inside the head, on {metrics.get('frames', '?')} held-out frames{size}: {own:.1f} dB, {', '.join(parts)}."]


def comparison(metrics: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows (avatar first, then the one it is compared with) of the held-out figures beside their baselines."""
    other = metrics.get("compared", {})
    second = {f"compared: {other['name']}": other["avatar"]} if other else {}
    rows = {"avatar": metrics.get("avatar", {}), **second, **metrics.get("baselines", {})}
    names = [name for name in FIGURES if name in rows["avatar"]]
    return ["", *(FIGURES[name] for name in names)], [
        [row, *(figures.get(name) for name in names)] for row, figures in rows.items()
    ]
