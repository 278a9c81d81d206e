"""What lies before a face: a hand, a microphone or a mask before the mouth, dark glasses before the eyes.

Landmarks go on where a part is covered and are invented there. A mouth is covered where its picture resembles neither the
mouths of this film nor a mouth at all: TEMPLATE is the mean mouth of thirteen filmed people, 14x14 pixels, high-passed; r is
the correlation with it over that of the film's best quarter, and o the largest one with mouths of the film that differ most
from one another. Lips that are as red against the skin around them as usual are seen. Eyes are covered where they and their
surroundings are much darker than the cheeks, and even.
"""

import numpy as np

from pipelines.face.person import shrunk

MOUTH_PX = 14
TEMPLATE = np.array([
    [5, 6, 6, 6, 3, 1, 7], [4, 7, 7, 5, 1, 2, 9], [3, 6, 6, 1, -2, -6, 1], [1, 4, 4, 3, -4, -13, -9],
    [0, 1, 3, 4, 2, -1, -1], [0, 1, 2, 1, 0, 0, 0], [2, 2, 0, -6, -8, -9, -7], [2, 3, 2, -6, -11, -9, -6],
    [1, 2, 3, 2, -3, -5, -5], [-2, 0, 2, 3, 3, 0, -2], [-6, -2, 0, 2, 4, 4, 3], [-7, -5, -2, 0, 3, 4, 4],
    [-6, -3, -4, -2, 0, 1, 2], [-4, -1, -2, -3, -2, -2, -2],
])  # fmt: skip
"""Left half of T; the right one is its mirror image."""
FEW = 12
"""Mouths of the film that are kept for comparison."""
COVERED, NEAR = ((0.4, 0.4), (0.3, 0.65)), (0.65, 0.7)
"""o and r of a covered mouth (either pair will do), and of the frames around such a one that are covered as well."""
NO_MOUTH = 0.2
"""Correlation of a film's best quarter with T below which no mouth is ever seen."""
MOUTH = 0.75
"""r of a picture that is a mouth for certain."""
ASLANT_DEG = 20.0
TELLING, STILL_RED = 1.5, 0.3
"""Redness of lips that tells something, and share of the usual one that lips which are seen keep."""
LEAST_ROWS = 4
BEFORE, AFTER = 3, 1
"""Rows around covered ones that count as well: what comes pushes landmarks before the mouth looks strange."""
WIDE_OPEN = 0.5
"""Score of jawOpen from which on a mouth is open, not covered."""
DARK, EVEN = (0.45, 0.3), (0.04, 0.09)
"""Brightness of eyes over that of cheeks, and its spread, of covered ones: either pair will do."""
HOLDERS = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 127, 356)
"""Points that place the mouth without asking it."""
LIPS = (0, 37, 267, 39, 269, 17, 84, 314, 181, 405, 61, 291)
AROUND_LIPS = (
    152, 175, 199, 200, 32, 262, 140, 369, 208, 428, 164, 167, 393, 165, 391, 92, 322, 186, 410, 57, 287, 43, 273, 106, 335,
    182, 406, 83, 313,
)  # fmt: skip
CHEEKS = (6, 197, 195, 5, 50, 280, 205, 425, 117, 346)
EYES = (
    (257, 258, 259, 260, 386, 385, 387, 253, 254, 252, 256, 339, 374, 380, 373),
    (27, 28, 29, 30, 159, 158, 160, 23, 24, 22, 26, 110, 145, 153, 144),
)


def mouth_picture(image: np.ndarray, points: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """float32 [MOUTH_PX^2] of mean 0 and deviation 1: where the mouth of an upright face has to be, high-passed; 0 if flat."""
    import cv2

    flat, side = np.array(canonical)[:, :2] * (1, -1), 2 * MOUTH_PX
    unit = np.linalg.norm(flat[33] - flat[263]) * 1.1 / side
    wanted = ((flat - (flat[61] + flat[291]) / 2) / unit + side / 2)[list(HOLDERS)]
    small, scale, corner = shrunk(image, points, 72)
    placed = (points[list(HOLDERS), :2] - corner) * scale
    move, _ = cv2.estimateAffinePartial2D(placed.astype(np.float32), wanted.astype(np.float32), method=cv2.LMEDS)
    if move is None:
        return np.zeros(MOUTH_PX**2, np.float32)
    face = cv2.warpAffine(small, move, (side, side), borderMode=cv2.BORDER_REPLICATE)
    light = cv2.cvtColor(face, cv2.COLOR_RGB2LAB)[..., 0].astype(np.float32)
    light = cv2.resize(light - cv2.GaussianBlur(light, (0, 0), side / 4), (MOUTH_PX, MOUTH_PX), interpolation=cv2.INTER_AREA)
    return _normal(light.ravel()) if light.std() > 1.0 else np.zeros(MOUTH_PX**2, np.float32)


def lip_redness(image: np.ndarray, points: np.ndarray) -> float:
    """How much redder (CIELAB a) the lips are than the skin around them."""
    import cv2

    small, scale, corner = shrunk(image, points, 96)
    red = cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), 1.2), cv2.COLOR_RGB2LAB)[..., 1].astype(np.float32)
    at = np.clip((points[:, :2] - corner) * scale, 0, np.array(red.shape[::-1]) - 1).astype(int)
    values = red[at[:, 1], at[:, 0]]
    return float(np.median(values[list(LIPS)]) - np.median(values[list(AROUND_LIPS)]))


def eye_light(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[4] brightness of the left eye and its spread, over the brightness of the cheeks, and the right eye's."""
    import cv2

    small, scale, corner = shrunk(image, points, 96)
    light = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.2)
    at = np.clip((points[:, :2] - corner) * scale, 0, np.array(light.shape[::-1]) - 1).astype(int)
    values = light[at[:, 1], at[:, 0]]
    cheek = max(float(np.median(values[list(CHEEKS)])), 1.0)
    return np.array([value for eye in EYES for value in (np.median(values[list(eye)]), values[list(eye)].std())]) / cheek


def covered_mouths(pictures: np.ndarray, redness: np.ndarray, jaw: np.ndarray, turned_deg: np.ndarray) -> np.ndarray:
    """[T] bool of mouth pictures [T,N] in the order of time, the redness of lips, jawOpen and turn of the head, [T] each.

    Mouths seen aslant are not judged.
    """
    told = (np.abs(pictures).max(1) > 0) & (turned_deg < ASLANT_DEG)
    if told.sum() < 2 * LEAST_ROWS:
        return np.zeros(len(pictures), bool)
    like_any = pictures @ _normal(np.hstack([TEMPLATE, TEMPLATE[:, ::-1]]).ravel()) / pictures.shape[1]
    best = float(np.median(np.sort(like_any[told])[-max(3, told.sum() // 4) :]))
    if best < NO_MOUTH:
        return told
    ratio = like_any / best
    mouths = np.flatnonzero(told & (ratio > MOUTH))
    own, usual = _like_own(pictures, mouths), float(np.median(redness[mouths]))
    if usual > TELLING:
        told &= redness < STILL_RED * usual
    sure = told & (jaw < WIDE_OPEN) & np.any([(own < most) & (ratio < share) for most, share in COVERED], axis=0)
    return _grown(sure, told & (own < NEAR[0]) & (ratio < NEAR[1]))


def covered_eyes(light: np.ndarray) -> np.ndarray:
    """[T] bool, where one of the eyes is covered, of `eye_light` [T,4]."""
    level, spread = light[:, [0, 2]], light[:, [1, 3]]
    dark = [(level < most) & (spread < even) for most, even in zip(DARK, EVEN, strict=True)]
    both = (dark[0] | dark[1]).any(1) & (light.max(1) > 0)
    return _grown(both, both)


def _like_own(pictures: np.ndarray, mouths: np.ndarray) -> np.ndarray:
    """[T] largest correlation with a few of the pictures in the rows `mouths`, each the least like those before it."""
    among = pictures[mouths]
    nearest = pictures @ among[0] / pictures.shape[1]
    for _ in range(FEW - 1):
        row = int(np.argmin(nearest[mouths]))
        if nearest[mouths][row] > 0.75:
            break
        nearest = np.maximum(nearest, pictures @ among[row] / pictures.shape[1])
    return nearest


def _grown(sure: np.ndarray, near: np.ndarray) -> np.ndarray:
    """[T] bool: runs of `sure | near` that hold enough sure rows, and a margin in which something comes or goes."""
    both = sure | near
    edges = np.flatnonzero(np.diff(np.concatenate([[0], both.astype(int), [0]])))
    result = np.zeros(len(sure), bool)
    for first, last in edges.reshape(-1, 2):
        if sure[first:last].sum() >= LEAST_ROWS:
            result[max(first - BEFORE, 0) : last + AFTER] = True
    return result


def _normal(values: np.ndarray) -> np.ndarray:
    return ((values - values.mean()) / max(float(values.std()), 1e-6)).astype(np.float32)
