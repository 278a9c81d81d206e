"""The pictures of an evaluation: frames as filmed and as rendered, their difference, and where the regions are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.evaluate.faces import OPEN
from pipelines.report import html

if TYPE_CHECKING:
    from pipelines.evaluate.protocol import Pictures
    from pipelines.evaluate.record import EvaluatedAvatar

EACH = 4
"""Best, worst and typical frames shown."""
STRONGER = 3
"""How much the differences are strengthened in the pictures."""
SHOWN_PX = 200
REGION_COLORS = {"mouth": (221, 60, 60), "eyes": (40, 160, 70), "hair": (43, 108, 176)}


def rank_frames(record: Mapping[str, Any]) -> list[int]:
    """Numbers of the frames, the worst inside the head first."""
    return sorted(range(record["frames"]), key=lambda number: record["per_frame"][number]["psnr_head"])


def spaced_out(order: Sequence[int], count: int) -> list[int]:
    """The first EACH of `order` that lie a twelfth of the frames apart, so that not one moment is shown four times."""
    chosen: list[int] = []
    for number in order:
        if all(abs(number - other) >= max(1, count // 12) for other in chosen):
            chosen.append(number)
    return chosen[:EACH]


def evenly_spaced(count: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, min(EACH, count)).round().astype(int)).tolist()


def region_pictures(shown: "EvaluatedAvatar") -> str:
    """The regions in color over some filmed frames."""
    pictures = []
    for number in evenly_spaced(len(shown.names)):
        image = shown.truth.image[number] * 255
        for name, color in REGION_COLORS.items():
            mask = shown.regions.masks[name][number][..., None]
            image = np.where(mask, 0.6 * image + 0.4 * np.array(color), image)
        pictures.append(html.picture(enlarged(image.round().astype(np.uint8)), shown.names[number], longest_px=236))
    return html.row(pictures) + html.sentence("Red mouth, green eyes, blue hair.", "quiet")


def frames(numbers: Sequence[int], shown: "EvaluatedAvatar", other: "EvaluatedAvatar | None") -> str:
    """A strip for each frame: filmed, rendered, difference, and render and difference of the other avatar."""
    wide = (500 if other is None else 1040) * (2 if shown.truth.image.shape[1] > SHOWN_PX else 1)
    strips = [
        html.picture(frame_strip(number, shown, other), _caption(number, shown, other), longest_px=wide) for number in numbers
    ]
    columns = "filmed, rendered, difference" + (f", and of {short(other.record)}" if other is not None else "")
    note = f"From the left: {columns}; differences are {STRONGER} times as strong, black is equal."
    mouths = f"Mouth: how far it is open as filmed, then as rendered; above {OPEN} is open."
    return html.row(strips) + html.sentence(f"{note} {mouths}", "quiet")


def _caption(number: int, shown: "EvaluatedAvatar", other: "EvaluatedAvatar | None") -> str:
    frame = shown.record["per_frame"][number]
    second = f", {other.record['per_frame'][number]['psnr_head']:.1f}" if other is not None else ""
    where = f"{frame['time_s']:.1f} s, yaw {round(frame['yaw_deg'])}°"
    openings = [frame["mouth_filmed"], frame["mouth_rendered"]]
    if other is not None:
        openings.append(other.record["per_frame"][number]["mouth_rendered"])
    mouth = ", ".join("lost" if opening is None else f"{opening:.2f}" for opening in openings)
    return f"{frame['name']}: {frame['psnr_head']:.1f}{second} dB in the head, mouth {mouth}, {where}"


def frame_strip(number: int, shown: "EvaluatedAvatar", other: "EvaluatedAvatar | None" = None) -> np.ndarray:
    """uint8 [H,W,3] of one frame, its parts side by side."""
    truth = shown.truth
    parts = [truth.image[number]]
    for one in (shown, other) if other is not None else (shown,):
        parts += [one.renders[number], distance(one.renders[number], truth, number)]
    pictures = [enlarged((part * 255).round().astype(np.uint8)) for part in parts]
    return np.concatenate(pictures, axis=1)


def distance(render: np.ndarray, truth: "Pictures", number: int) -> np.ndarray:
    """[S,S,3] strengthened absolute difference, 0 outside the source frame."""
    off = np.abs(render - truth.image[number]) * truth.inside[number][..., None]
    return np.clip(STRONGER * off, 0, 1)


def enlarged(image: np.ndarray) -> np.ndarray:
    """At least SHOWN_PX wide, by a whole factor, pixels as they are."""
    factor = max(1, -(-SHOWN_PX // image.shape[1]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def short(record: Mapping[str, Any]) -> str:
    """The avatar's name without its ending."""
    return str(record["name"]).removesuffix(".avatar")
