"""Hair, ears and neck of a still view: painted once, at rest, so that only the face moves.

A generator's picture changes a little everywhere when the expression changes; with a camera that stands still the eye sees it
as shimmer. Outside the face the head of the resting expression is shown: `head = m head_t + (1 - m) head_rest`, m = 1 inside
the hull of the face's landmarks, which is widened below for an open jaw, and a soft rim.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.drive.torso import project

RIM = 0.05
"""How far the moving part reaches beyond the landmarks, over the picture's side; the rim is as wide again."""
LOWER = 0.35
"""Share of the face's height, from below, that follows an open jaw ..."""
DROP = 0.22
"""... down by this share of the height."""


@dataclass(frozen=True)
class Calm:
    """What stands still."""

    rest: np.ndarray
    """float32 [size,size,4] premultiplied head at rest."""
    share: np.ndarray
    """float32 [size,size,1]: 1 where the face moves."""

    def __call__(self, head: np.ndarray) -> np.ndarray:
        return self.share * head + (1 - self.share) * self.rest


def face_share(landmarks: np.ndarray, world_from_camera: np.ndarray, intrinsics: np.ndarray, size: int) -> np.ndarray:
    """float32 [size,size,1] where a face with canonical landmarks [478,3] moves, seen by a camera [4,4], [3,3]."""
    import cv2

    height = np.ptp(landmarks[:, 1])
    jaw = landmarks[landmarks[:, 1] < landmarks[:, 1].min() + LOWER * height] - np.array([0.0, DROP * height, 0.0])
    seen = project(world_from_camera, intrinsics, np.concatenate([landmarks, jaw]))[:, :2] * size
    mask = np.zeros((size, size), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(seen.astype(np.float32)).round().astype(np.int32), 1.0)
    reach = max(1, round(RIM * size))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (4 * reach + 1, 4 * reach + 1))
    inner = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    soft = cv2.GaussianBlur(cv2.dilate(mask, inner), (0, 0), reach / 2)
    return np.clip(np.where(cv2.dilate(mask, disk) > 0, soft, 0.0), 0.0, 1.0)[..., None].astype(np.float32)
