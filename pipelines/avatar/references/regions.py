"""Where mouth, eyes and brows are in a render: soft masks around their points at rest."""

import numpy as np

from pipelines.avatar.references.distance import REGIONS
from pipelines.geometry.rigid import project

POINTS = {
    "mouth": [61, 291, 0, 17, 13, 14, 78, 308, 152], "left eye": [362, 263, 386, 374], "right eye": [33, 133, 159, 145],
    "brows": [70, 63, 105, 66, 107, 336, 296, 334, 293, 300],
}  # fmt: skip
GROWTH = {"mouth": 0.3, "left eye": 0.5, "right eye": 0.5, "brows": 0.4}
"""How far a region reaches beyond its points, over half the distance of the eyes."""
SOFT = 0.4
"""Standard deviation of a mask's rim over that reach."""


def region_masks(
    landmarks: np.ndarray, world_from_camera: np.ndarray, intrinsics: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """float32 [size,size] in 0..1 by region, of landmarks [478,3] seen by a camera [4,4] with normalized intrinsics [3,3]."""
    points = project(world_from_camera, intrinsics, landmarks)[:, :2] * size
    left, right = (points[POINTS[eye]].mean(0) for eye in ("left eye", "right eye"))
    unit = max(0.5 * float(np.linalg.norm(left - right)), 1.0)
    return {region: soft_hull(points[POINTS[region]], size, GROWTH[region] * unit) for region in REGIONS}


def soft_hull(points: np.ndarray, size: int, reach: float) -> np.ndarray:
    """float32 [size,size]: 1 inside the hull of points [V,2] px, softly 0 beyond `reach` px around it."""
    import cv2

    mask = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(points.astype(np.float32)).round().astype(np.int32), 1.0)
    radius = max(1, round(reach))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.GaussianBlur(cv2.dilate(mask, disk), (0, 0), SOFT * radius)
