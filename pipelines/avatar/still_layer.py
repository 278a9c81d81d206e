"""Hair, ears and neck of a still view: painted once, at rest, so that only the face moves.

A generator's picture changes a little everywhere when the expression changes; with a camera that stands still the eye sees it
as shimmer. Outside the face the head of the resting expression is shown: `head = m head_t + (1 - m) head_rest`, m = 1 inside
the hull of the face as the tracker sees it at rest, which is widened below as far as the jaw is open in that frame, and a soft
rim: beside a shut mouth a collar stands still.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.face.tracker import FaceTracker

RIM = 0.02
"""How far the moving part reaches beyond the landmarks, over the picture's side; the rim is as wide again."""
LOWER = 0.35
"""Share of the face's height, from below, that follows an open jaw, the chin altogether ..."""
DROP = 0.22
"""... down by this share of the height, when it is wide open."""
LEVELS = 9
"""Openings of the jaw between which the moving part is interpolated."""
ELSEWHERE = 0.1
"""A face whose middle is further than this from where it should be is none of ours, over the picture's side."""


@dataclass(frozen=True)
class StillLayer:
    """What stands still."""

    rest: np.ndarray
    """float32 [size,size,4] premultiplied head at rest."""
    shares: np.ndarray
    """uint8 [LEVELS,size,size,1]: 255 where the face moves, of a shut to a wide open jaw (`face_share` of 0 to 1)."""

    def __call__(self, head: np.ndarray, jaw: float) -> np.ndarray:
        """A head [size,size,4] whose jaw is open by 0..1."""
        at = float(np.clip(jaw, 0.0, 1.0)) * (LEVELS - 1)
        lower = min(int(at), LEVELS - 2)
        share = ((1 - (at - lower)) * self.shares[lower] + (at - lower) * self.shares[lower + 1]).astype(np.float32) / 255
        return share * head + (1 - share) * self.rest


def still_around(rest: np.ndarray, face: np.ndarray) -> StillLayer:
    """Everything stands still but the face at [V,2] over the picture's side, of the head at rest [size,size,4]."""
    shares = (face_share(face, len(rest), jaw) for jaw in np.linspace(0, 1, LEVELS))
    return StillLayer(rest, np.stack([np.round(255 * share).astype(np.uint8) for share in shares]))


def face_in(head: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """[V,2] over the picture's side: the tracker's points on a premultiplied `head` [size,size,4].

    `expected` [V,2] where it sees no face, or one at another place.
    """
    picture = np.round(255 * np.clip(head[..., :3] + 0.5 * (1 - head[..., 3:]), 0, 1)).astype(np.uint8)
    with FaceTracker(video=False) as tracker:
        face = tracker.track(picture)
    if face is None:
        return expected
    points = face.points[:, :2] / len(head)
    return points if np.abs(points.mean(0) - expected.mean(0)).max() < ELSEWHERE else expected


def face_share(face: np.ndarray, size: int, jaw: float = 1.0) -> np.ndarray:
    """float32 [size,size,1] where a face at rest at [V,2] over the picture's side moves; `jaw` is how far it opens, 1 wide."""
    import cv2

    height = np.ptp(face[:, 1])
    lowered = np.clip((face[:, 1] - face[:, 1].max()) / (LOWER * height) + 1, 0.0, 1.0)
    below = face + np.column_stack([0 * lowered, jaw * DROP * height * lowered])
    mask = np.zeros((size, size), np.float32)
    outline = cv2.convexHull((size * np.concatenate([face, below])).astype(np.float32))
    cv2.fillConvexPoly(mask, outline.round().astype(np.int32), 1.0)
    reach = max(1, round(RIM * size))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (4 * reach + 1, 4 * reach + 1))
    inner = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    soft = cv2.GaussianBlur(cv2.dilate(mask, inner), (0, 0), reach / 2)
    return np.clip(np.where(cv2.dilate(mask, disk) > 0, soft, 0.0), 0.0, 1.0)[..., None].astype(np.float32)
