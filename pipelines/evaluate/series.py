"""Figures over time and by side: flicker between consecutive held-out frames, and the scores by how far the head is turned."""

from typing import Any

import numpy as np

from pipelines.evaluate.protocol import Pictures, weighted

GAP = 2.5
"""Median steps in time beyond which two frames do not follow one another."""
EDGES_DEG = (0, 5, 10, 20, 30, 45, 60, 90, 180)
BINNED = ("psnr_head", "ssim_head", "sharpness_head")

DEFINITIONS = {
    "flicker": (
        "mean change of (render - filmed frame) from one held-out frame to the next, in gray levels of 255, inside both head "
        f"mattes; frames follow one another when nothing was kept between them and they are not {GAP} median steps apart"
    ),
    "flicker_rms": "the same as a root mean square over the colors, which sudden changes in few pixels weigh more in",
    "yaw_bins": "figures by |yaw| of the camera around the head in degrees, from 0 in front; the counts are frames",
}


def consecutive_pairs(rows: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """[P] positions i in `rows` (dataset rows) such that i and i + 1 follow one another; `time_s` [len(rows)] are their times.

    Rows 10, 11, 12, 20 at 0, 0.1, 0.2, 0.3 s: 0 and 1.
    """
    step = np.diff(time_s)
    near = (np.diff(rows) == 1) & (step > 0)
    if near.any():
        near &= step <= GAP * np.median(step[near])
    return np.flatnonzero(near)


def flicker(renders: np.ndarray, truth: Pictures, pairs: np.ndarray) -> float | None:
    """Mean over the pairs (i, i+1) of |d_{i+1} - d_i| in gray levels, d = gray(render) - gray(truth); None without a pair.

    A render that is 10 gray levels too bright everywhere and always: 0. One that is so in every other frame: 10.
    """
    if not len(pairs):
        return None
    off = 255 * (renders.mean(-1) - truth.image.mean(-1))
    head = truth.matte * truth.inside
    return float(np.mean([weighted(np.abs(off[i + 1] - off[i]), np.minimum(head[i], head[i + 1])) for i in pairs]))


def flicker_rms(renders: np.ndarray, truth: Pictures, pairs: np.ndarray) -> float | None:
    """Mean over the pairs of the root mean square of d_{i+1} - d_i in gray levels, d = render - truth; None without a pair."""
    if not len(pairs):
        return None
    head = truth.matte * truth.inside

    def change(i: int) -> float:
        step = (renders[i + 1] - truth.image[i + 1]) - (renders[i] - truth.image[i])
        return 255 * weighted(np.square(step).mean(-1), np.minimum(head[i], head[i + 1])) ** 0.5

    return float(np.mean([change(i) for i in pairs]))


def bin_of(yaw: np.ndarray) -> np.ndarray:
    """[N] number of the bin of EDGES_DEG that holds |yaw|; 10 degrees lie in the third."""
    return np.clip(np.searchsorted(EDGES_DEG, np.abs(yaw), side="right") - 1, 0, len(EDGES_DEG) - 2)


def by_bin(rows: list[dict[str, float]], bins: np.ndarray) -> dict[str, list[float | None]]:
    """Mean figures of the frames in each bin, None where it is empty."""
    return {
        name: [_mean([row[name] for row, place in zip(rows, bins, strict=True) if place == one])
               for one in range(len(EDGES_DEG) - 1)]
        for name in BINNED
    }  # fmt: skip


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values else None
