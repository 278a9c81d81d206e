"""The square that a generator sees, chosen for the person: hair, chin and the neck's start are inside wherever the film shows
them.

The outline of the head is read off the mattes of the training frames, in a wider square around the head's origin, on the plane
at the origin's depth and in the generator's units: turned heads count as they are seen. The square is the smallest one that is
no smaller than the prior's, has FREE of its side above the hair and SIDE_FREE beside it, and lies as near to the prior's as it
can.

Notable choices:
- USUAL percentiles: a raised hand or a failed matte in a few frames moves nothing;
- hair that reaches beyond the volume makes the whole head smaller in it, down to SMALLEST; what is still beyond does not count;
- a collar that moved with the head would leave shreds beside the neck: where the prior shows a head, its square shows head and
  neck without what is worn beside it;
- the neck counts as far down as the prior's square shows it. Below the chin only the neck is looked at: shoulders do not widen
  the square.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.head_frame import HeadFrame, MatteRegion
from pipelines.artifacts.capture_record import SCHEMA, load_dataset_record
from pipelines.artifacts.dataset_view import view_of
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.matte_regions import CHIN

FREE, SIDE_FREE = 0.08, 0.03
USUAL = (5.0, 95.0)
LOOKS, LOOK_PX = 64, 192
"""Frames that are looked at, and the side of their pictures."""
WIDER = 2.0
"""Side of the square that is looked at, over the prior's."""
HELD = 1.02
"""Hair up to this share of the volume's half is in it: what is seen at the origin's depth may lie nearer to the camera."""
SMALLEST = 0.88
"""A head whose hair reaches beyond the volume is made smaller in it, down to this share."""
BEYOND = 1.06
"""Hair beyond this share of the volume's half is cut by it."""
TELL = 0.02
"""Share of frames from which on a cut is told."""


@dataclass(frozen=True, kw_only=True)
class Outline:
    """How far heads reach from the frame's origin, to the right and up, on the plane at its depth, in its units; [K] each."""

    top: np.ndarray
    bottom: np.ndarray
    left: np.ndarray
    right: np.ndarray
    cut: np.ndarray
    """bool: the film's border cuts the head at the top."""
    pixel: float
    """What a pixel is wide."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """The square, and what is cut off at its top."""

    frame: HeadFrame
    cut_share: float
    """Frames whose hair ends at the square's top though the film shows more."""
    cut_by_film_share: float
    """Frames whose hair ends at the film's border."""
    beyond_share: float
    """Frames whose hair reaches beyond the volume."""
    free_above: float
    """Of the square's side, above the hair in the usual frame."""

    def figures(self) -> dict[str, Any]:
        rest = {name: round(value, 4) for name, value in asdict(self).items() if name != "frame"}
        return {"extent": self.frame.crop_extent, "center": list(self.frame.crop_center), **rest}

    def warnings(self) -> list[str]:
        """Sentences on hair that is not whole."""
        said = [
            (self.cut_by_film_share, "the film itself cuts the hair at the top in {} of the frames: leave room above the head"),
            (self.beyond_share, "hair reaches beyond what the prior can hold in {} of the frames; its top is cut"),
            (self.cut_share, "the generator's square cuts the hair at the top in {} of the frames; train with frame=person"),
        ]
        return [f"{text.format(f'{share:.0%}')}." for share, text in said if share > TELL]


def framing_of(capture: Path, frame: HeadFrame, box_size: float, *, personal: bool) -> Framing:
    """The prior's `frame` for a capture, or the `personal` one made of it; `box_size` is the side of the volume.

    Captures of schema 1 hold crops of the prior's square and keep it.
    """
    if load_dataset_record(capture).schema != SCHEMA:
        return Framing(frame=frame, cut_share=0.0, cut_by_film_share=0.0, beyond_share=0.0, free_above=0.0)
    outline = outline_of(capture, frame)
    if not personal:
        return judged(frame, outline, box_size)
    own = frame_around(outline, frame, box_size)
    return judged(own, outline, box_size, own.scale / frame.scale)


def outline_of(capture: Path, frame: HeadFrame) -> Outline:
    """Of the heads in the training frames of a capture, LOOKS of them at most."""
    wide = replace(frame, crop_extent=WIDER * frame.crop_extent, crop_center=(0.0, 0.0))
    dataset = view_of(capture, wide, cached=False)
    rows = dataset.rows("train")
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(LOOKS, len(rows))).round().astype(int))]
    heads, inside = dataset.head_mattes(rows, LOOK_PX) > 127, dataset.inside(rows, LOOK_PX)
    chin = float(frame.points(canonical_landmarks()[CHIN : CHIN + 1])[0, 1])
    return outline_in(heads[(whole := heads.any((1, 2)))], inside[whole], wide.crop_extent, chin)


def outline_in(heads: np.ndarray, inside: np.ndarray, extent: float, chin: float) -> Outline:
    """Of heads [K,S,S] bool in squares of side `extent` around the origin; `inside` [K,S,S]: where the film has pixels.

    Sides are those of the parts above the height `chin`.
    """
    size = heads.shape[-1]
    at = ((np.arange(size) + 0.5) / size - 0.5) * extent
    half, rows = extent / size / 2, np.asarray(heads.any(2))
    columns = np.asarray(heads[:, -at > chin].any(1))
    first, border = rows.argmax(1), inside.any(2).argmax(1)
    return Outline(
        top=-at[first] + half, bottom=-at[size - 1 - rows[:, ::-1].argmax(1)] - half, left=at[columns.argmax(1)] - half,
        right=at[size - 1 - columns[:, ::-1].argmax(1)] + half, cut=(border > 0) & (first <= border + 1), pixel=2 * half,
    )  # fmt: skip


def frame_around(outline: Outline, frame: HeadFrame, box_size: float) -> HeadFrame:
    """The prior's `frame` with the square of the person; unchanged where no frame shows a head."""
    if not len(outline.top):
        return frame
    most, low = HELD * box_size / 2, -frame.crop_extent / 2
    scale = scale_into(outline, box_size)
    top, right = (min(scale * np.percentile(values, USUAL[1]), most) for values in (outline.top, outline.right))
    bottom, left = (
        max(scale * np.percentile(values, USUAL[0]), end) for values, end in ((outline.bottom, low), (outline.left, -most))
    )
    side = max(frame.crop_extent, (top - bottom) / (1 - FREE), (right - left) / (1 - 2 * SIDE_FREE))
    up = np.clip(0.0, top + FREE * side - side / 2, bottom + side / 2)
    across = np.clip(0.0, right + SIDE_FREE * side - side / 2, left - SIDE_FREE * side + side / 2)
    center = round(float(across), 4), round(float(-up), 4)
    matrix = np.diag([scale] * 3 + [1.0]) @ frame.prior_from_head
    region: MatteRegion = "head and neck" if frame.matte_region == "head" else frame.matte_region
    return replace(
        frame, prior_from_head=matrix, crop_extent=round(float(side), 4), crop_center=center, matte_region=region
    )  # fmt: skip


def scale_into(outline: Outline, box_size: float) -> float:
    """How much smaller than in the prior a head is to be, so that the volume holds its hair."""
    top = float(np.percentile(outline.top, USUAL[1]))
    return round(min(1.0, max(SMALLEST, HELD * box_size / 2 / max(top, 1e-6))), 4)


def beyond_square(frame: HeadFrame, prior: HeadFrame, size: int) -> np.ndarray:
    """bool [size*size] rays of `frame`'s square outside the prior's: nobody has taught it that nothing is there."""
    at = ((np.arange(size) + 0.5) / size - 0.5) * frame.crop_extent
    across, down = (
        np.greater(np.abs(at + own - its), prior.crop_extent / 2)
        for own, its in zip(frame.crop_center, prior.crop_center, strict=True)
    )
    return (down[:, None] | across[None, :]).ravel()


def judged(frame: HeadFrame, outline: Outline, box_size: float, scale: float = 1.0) -> Framing:
    """What the square of `frame` does to these heads, which are `scale` times as large in it as in the outline's frame."""
    if not len(outline.top):
        return Framing(frame=frame, cut_share=0.0, cut_by_film_share=0.0, beyond_share=0.0, free_above=1.0)
    upper, top = frame.crop_extent / 2 - frame.crop_center[1], scale * outline.top
    return Framing(
        frame=frame, cut_share=float((~outline.cut & (top > upper - scale * outline.pixel / 2)).mean()),
        cut_by_film_share=float(outline.cut.mean()), beyond_share=float((top > BEYOND * box_size / 2).mean()),
        free_above=float((upper - np.median(top)) / frame.crop_extent),
    )  # fmt: skip
