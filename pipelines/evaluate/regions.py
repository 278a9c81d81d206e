"""Where mouth, eyes and hair are in the held-out frames, and the figures inside them.

Notable choices: regions belong to the filmed frame, never to the render, so that every picture compared there is judged on the
same pixels. Mouth and eyes are hulls of the points the capture tracked at full resolution; of a frame without points they are
those of the prior's mean face, placed by the frame's camera. No parser of hair comes with the tool: hair is what the head matte
holds around the face's outline above the base of the nose: ears and the rim of the forehead are in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.artifacts.dataset import Dataset
from pipelines.evaluate.protocol import Pictures, psnr, sharpness_ratio, ssim, weighted
from pipelines.geometry.rigid import project

LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (362, 382, 381, 380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398),
)
OUTLINE = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172,
    58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Rings of landmarks: the outer lips, the rims of the lids, the face from chin to hairline."""
OUTER_CORNERS = (33, 263)
NOSE_BASE, CHIN, FOREHEAD = 2, 152, 10
MOUTH_MARGIN, EYE_MARGIN, FACE_MARGIN = 0.12, 0.12, 0.1
"""How far hulls are grown, over the distance of the outer eye corners."""
LEAST_PIXELS = 12
"""A region with fewer in a frame is not looked at there."""

DEFINITIONS = {
    "mouth": f"hull of the outer lips in the filmed frame, grown by {MOUTH_MARGIN} of the distance of the outer eye corners",
    "eyes": f"hull of each eye's lids in the filmed frame, grown by {EYE_MARGIN} of the distance of the outer eye corners",
    "hair": (
        "what the head matte holds (alpha above 0.5) outside the face's outline, chin to hairline, grown by "
        f"{FACE_MARGIN} of that distance, and above the base of the nose along the face; ears and the rim of the forehead too"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Masks of the held-out frames by name, bool [N,S,S], without pixels outside the source frame."""

    masks: dict[str, np.ndarray]
    tracked: np.ndarray
    """[N] whether the frame's own points placed them, else the prior's mean face."""

    def record(self) -> dict[str, Any]:
        return {"definitions": DEFINITIONS, "frames_by_tracked_points": int(self.tracked.sum()),
                "frames_by_mean_face": int((~self.tracked).sum())}  # fmt: skip


def regions_of(dataset: Dataset, rows: np.ndarray, truth: Pictures, prior_landmarks: np.ndarray) -> Regions:
    """The regions of `rows`, whose truth at the evaluated size is given."""
    size = truth.image.shape[1]
    points, tracked = points_in_crops(dataset, rows, prior_landmarks)
    found = [regions_in(one * size, matte) for one, matte in zip(points, truth.matte, strict=True)]
    masks = {name: np.stack([one[name] for one in found]) & truth.inside for name in DEFINITIONS}
    return Regions(masks=masks, tracked=tracked)


def points_in_crops(dataset: Dataset, rows: np.ndarray, prior_landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[N,478,2] over the crop's side, and [N] whether they were tracked; else they are the prior's, seen by the camera."""
    seen = dataset.tracking()["landmarks"][rows, :, :2]
    tracked = np.isfinite(seen).all((1, 2)) & (np.ptp(seen, axis=1).min(1) > 1)
    points = (seen - dataset.box[rows, None, :2]) / dataset.box[rows, None, 2:]
    mean_face = project(dataset.world_from_camera[rows], dataset.intrinsics[rows], prior_landmarks)[..., :2]
    return np.where(tracked[:, None, None], points, mean_face), tracked


def regions_in(points: np.ndarray, matte: np.ndarray) -> dict[str, np.ndarray]:
    """Masks [S,S] of one frame from landmarks [478,2] in pixels and its head matte [S,S] in 0..1."""
    size, unit = len(matte), float(np.linalg.norm(points[OUTER_CORNERS[0]] - points[OUTER_CORNERS[1]]))
    eyes = [hull(points[list(ring)], size, EYE_MARGIN * unit) for ring in EYES]
    face = hull(points[list(OUTLINE)], size, FACE_MARGIN * unit)
    up = points[FOREHEAD] - points[CHIN]
    centers = np.stack(np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5), axis=-1)
    above = (centers - points[NOSE_BASE]) @ up > 0
    return {
        "mouth": hull(points[list(LIPS)], size, MOUTH_MARGIN * unit), "eyes": eyes[0] | eyes[1],
        "hair": (matte > 0.5) & ~face & above,
    }  # fmt: skip


def hull(points: np.ndarray, size: int, margin: float) -> np.ndarray:
    """bool [size,size]: pixels whose center lies within `margin` pixels of the convex hull of points [V,2]."""
    import cv2

    fine = 8
    corners = cv2.convexHull(np.round((points - 0.5) * fine).astype(np.int32))
    filled = cv2.fillConvexPoly(np.zeros((size, size), np.uint8), corners, 1, lineType=cv2.LINE_8, shift=3)
    if not filled.any():
        return filled.astype(bool)
    return cv2.distanceTransform(1 - filled, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= margin


def region_figures(renders: np.ndarray, truth: Pictures, regions: Regions) -> dict[str, dict[str, Any]]:
    """Mean PSNR in dB, SSIM and sharpness ratio of renders [N,S,S,3] in each region; over the frames that show it."""
    rows: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in regions.masks}
    for number, (render, image) in enumerate(zip(renders, truth.image, strict=True)):
        similarity = ssim(render, image)
        for name, masks in regions.masks.items():
            weight = masks[number].astype(np.float32)
            if (pixels := float(weight.sum())) >= LEAST_PIXELS:
                found = psnr(render, image, weight), weighted(similarity, weight), sharpness_ratio(render, image, weight)
                rows[name].append((*found, pixels))
    return {name: _means(values) for name, values in rows.items()}


def _means(rows: list[tuple[float, float, float, float]]) -> dict[str, Any]:
    names = ("psnr", "ssim", "sharpness", "pixels")
    means: Mapping[str, Any] = dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True)) if rows else dict.fromkeys(names)
    return {**means, "frames": len(rows)}
