"""Lens distortion of a COLMAP model: one radial coefficient, taken only where the views bear it out.

Notable choices: the coefficient is first set free on the sightings of the model without it, from the model's own cameras. A
focal length that is too long all but takes its place (k1 = -0.08: 13 %, with the same 0.26 px), so errors alone hardly show
it; what tells is by how much the same sightings fit better. With n coordinates that fit better by a share g, the coefficient is
known to about |k1| / sqrt(n g). Only then the model is made anew with it.
"""

from pathlib import Path
from typing import Any

from pipelines.capture.colmap.mapping import ROUNDS, adjust, explained, optics, poses_of, rounds
from pipelines.capture.footage.lens import Lens

LEAST_BEND = 0.0012
"""Shift of a picture's corner over its longer side, below which a lens is straight: 1.2 px of 960."""
LEAST_GAIN = 0.003
"""Share by which the robust cost of the sightings has to fall."""
LEAST_SURE = 12.0
"""Standard deviations that the coefficient has to be away from 0."""
OUTER, LEAST_OUTER = 0.6, 0.15
"""Share of the sightings that must lie further from the middle than this part of the way to a corner: a head before a white
wall says nothing of the corners (a turntable filmed through no lens gave k1 = 0.08 at 12 deviations)."""
MOST_LOST = 0.08
"""Share of the matches borne out that may be lost at most; growing takes more sightings in than the rounds that come after."""


def with_lens(job: dict[str, Any], folder: Path, database: Path, model: Any) -> tuple[Any, dict[str, Any]]:
    """The model with its lens, or as it was; and what was found: share of outer sightings, k1, gain, standard deviations from
    0, shares of the matches borne out before and after."""
    import pycolmap

    found: dict[str, Any] = {"outer": _outer(job, model)}
    if found["outer"] < LEAST_OUTER:
        return model, found
    longest, free = max(job["width"], job["height"]), pycolmap.Reconstruction(model)
    gain = adjust(free, ROUNDS[-1][0] * longest / 4, not job["focal_known"], lens_free=True)
    sure = (2 * free.compute_num_observations() * max(gain, 0.0)) ** 0.5
    focal_px, k1 = optics(free)
    found |= {"k1": k1, "gain": gain, "sure": sure}
    if gain < LEAST_GAIN or sure < LEAST_SURE or _bend(job, focal_px, k1) < LEAST_BEND:
        return model, found
    bent = rounds({**job, "focal_px": focal_px, "k1": k1}, folder, database, poses_of(free), ROUNDS[3:])
    shares = [sum(explained(one, database).values()) / max(one.num_reg_images(), 1) for one in (model, bent)]
    better = shares[1] >= shares[0] - MOST_LOST and k1 * optics(bent)[1] > 0 and _bend(job, *optics(bent)) >= LEAST_BEND
    return (bent if better else model), found | {"k1": optics(bent)[1], "explained": list(shares)}


def _bend(job: dict[str, Any], focal_px: float, k1: float) -> float:
    """How far the lens moves a corner of the job's picture, over its longer side."""
    size = job["width"], job["height"]
    return Lens(k1=k1, focal_px=focal_px, size=size).bend_px / max(size)


def _outer(job: dict[str, Any], model: Any) -> float:
    """Share of the sightings in the outer part of the picture."""
    import numpy as np

    px = [point.xy for image in model.images.values() if image.has_pose for point in image.points2D if point.has_point3D()]
    away = np.linalg.norm(np.reshape(px, (-1, 2)) - np.array([job["width"], job["height"]]) / 2, axis=1)
    return float(np.mean(away > OUTER * np.hypot(job["width"], job["height"]) / 2)) if len(px) else 0.0
