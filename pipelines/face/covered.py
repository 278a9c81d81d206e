"""What lies before a face: a hand, a microphone or a mask before the mouth; a hand, hair, a mask, dark glasses before the eyes.

Landmarks go on where a part is covered and are invented there, so a part is judged by its picture: brightness at the places
of the canonical face around mouth and eyes, seen through the affine camera of landmarks that do not belong to the part, so
that turned heads give the same picture. A film's pictures of a part fall into groups of which each is linked to the next by
correlation. One group shows the part uncovered: it resembles mouths (or eyes) of synthetic people, its eyes are each other's
mirror images, and it is large. What is linked to none of its pictures is covered. Eyes much darker than the cheeks, and even,
are covered all the time.

Notable choices: the person is compared with themself, because mouths and eyes of two people resemble each other less than
those of one person in two expressions; rows amid a fast change (something comes, lids fall) link nothing. `part_pictures.npz`
holds the mean pictures of mouths and eyes of synthetic people (`pipelines.prior.part_pictures` makes them): shut, half and wide
open. Lips that are as red against the skin around them as usual are seen.
"""

from functools import cache, lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from pipelines.core.files import read_arrays
from pipelines.face.person import shrunk

PART_PX = 14
PARTS = ("mouth", "right eye", "left eye")
"""Rows of `part_pictures`; the left eye's picture is mirrored."""
FACE_PX = 130
"""Side to which faces are shrunk first."""
MOUTH_WIDE, EYE_WIDE, EYE_UP = 1.1, 0.62, 0.04
"""Sides of the pictures and what the eyes' one is moved up by, over the distance of the outer corners of the eyes."""
BELOW = 4
"""Rows of a picture in which nostrils and brows lie: a part is compared with and without them."""
LINKED = 0.6
"""Correlation from which on two pictures of one film show the same part; covered ones are below it."""
USUAL_LIGHT = ((0.8, 1.25), (0.6, 1.5))
"""How an eye's brightness and its spread may change against the usual ones before it is covered: a look aside is linked to
nothing after a cut, but changes neither."""
HOPS = 3
"""Links between a group's middle and its outermost pictures."""
STEADY_S = 0.08
"""Time in which a picture that links others stays alike."""
MOUTH_HZ, EYES_HZ = 8.0, 14.0
"""Rows a second below which expressions change too much from one to the next to be linked."""
MOST_COMPARED = 500
SMALL, LARGE = 0.1, 0.5
"""Share of the rows below which a group is none, and above which it is not called covered for its size."""
FOR_SIZE = 0.3
"""What being all rows adds to a group's resemblance."""
UNLIKE = 0.1
"""Difference in resemblance above which a large group is covered nevertheless."""
FOR_BOTH = 0.5
"""What two eyes that are each other's mirror images add to the resemblance of either."""
NO_MOUTH, NO_EYE = 0.2, 0.45
"""Resemblance of the chosen group below which the part is never seen."""
ASLANT_DEG = 40.0
TELLING, STILL_RED = 1.5, 0.3
"""Redness of lips that tells something, and share of the usual one that lips which are seen keep."""
LEAST_ROWS = 4
BEFORE, AFTER = 3, 1
"""Rows around covered ones that count as well: what comes pushes landmarks before the part looks strange."""
WIDE_OPEN = 0.5
"""Score of jawOpen from which on a mouth is open, not covered."""
DARK, EVEN = (0.45, 0.3), (0.04, 0.09)
"""Brightness of eyes over that of cheeks, and its spread, of covered ones: either pair will do."""
WITHOUT_MOUTH = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 127, 356)
WITHOUT_EYES = (
    168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 61, 291, 13, 14, 152, 172, 397, 234, 454, 10, 109, 338, 132, 361, 127, 356,
)  # fmt: skip
"""Points that place a part without asking it."""
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


def part_pictures(image: np.ndarray, points: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """float32 [3,PART_PX^2] of mean 0 and deviation 1, high-passed, of the face at `points` [478,3]; 0 where it is even."""
    import cv2

    small, scale, corner = shrunk(image, points, FACE_PX)
    light = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2LAB)[..., 0].astype(np.float32), (0, 0), 0.8)
    placed = (points[:, :2] - corner) * scale
    canonical = np.asarray(canonical, np.float64)
    return np.stack([_picture(light, placed, canonical, part) for part in PARTS])


def _picture(light: np.ndarray, placed: np.ndarray, canonical: np.ndarray, part: str) -> np.ndarray:
    import cv2

    camera = _affine_camera(canonical, placed, WITHOUT_MOUTH if part == "mouth" else WITHOUT_EYES)
    at = (_places(canonical.tobytes(), part) @ camera).astype(np.float32) - 0.5
    seen = cv2.remap(light, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = seen[:, ::-1] if part == "left eye" else seen
    flat = cv2.resize(
        seen - cv2.GaussianBlur(seen, (0, 0), PART_PX / 2), (PART_PX, PART_PX), interpolation=cv2.INTER_AREA
    )  # fmt: skip
    return _normal(flat.ravel()) if flat.std() > 1.0 else np.zeros(PART_PX**2, np.float32)


def _affine_camera(canonical: np.ndarray, placed: np.ndarray, holders: tuple[int, ...]) -> np.ndarray:
    """[4,2] from (x, y, z, 1) of the canonical face to pixels, by the holders; those that stick out count less."""
    known = np.column_stack([canonical[list(holders)], np.ones(len(holders))])
    wanted, weight = placed[list(holders)].astype(np.float64), np.ones((len(holders), 1))
    for _ in range(3):
        camera = np.linalg.lstsq(known * weight, wanted * weight, rcond=None)[0]
        off = np.linalg.norm(known @ camera - wanted, axis=1, keepdims=True)
        weight = 1 / np.sqrt(1 + np.square(off / max(float(np.median(off)), 1e-6)))
    return camera


@lru_cache(maxsize=8)
def _places(canonical: bytes, part: str) -> np.ndarray:
    """[2 PART_PX,2 PART_PX,4] points (x, y, z, 1) on the canonical face under the pixels of a part's picture, twice as fine."""
    from scipy.interpolate import NearestNDInterpolator

    face = np.frombuffer(canonical).reshape(-1, 3)[:468]
    wide = float(np.linalg.norm(face[33] - face[263]))
    ends = {"mouth": (61, 291), "right eye": (33, 133), "left eye": (362, 263)}[part]
    x, y = face[list(ends), :2].mean(0) + (0, 0 if part == "mouth" else EYE_UP * wide)
    steps = wide * (MOUTH_WIDE if part == "mouth" else EYE_WIDE) * ((np.arange(2 * PART_PX) + 0.5) / (2 * PART_PX) - 0.5)
    across, down = np.meshgrid(x + steps, y - steps)
    depth = NearestNDInterpolator(face[:, :2], face[:, 2])(across, down)
    return np.dstack([across, down, depth, np.ones_like(across)])


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


def covered_mouths(
    pictures: np.ndarray, redness: np.ndarray, jaw: np.ndarray, turned_deg: np.ndarray, rate_hz: float
) -> np.ndarray:
    """[T] bool of mouth pictures [T,N] in the order of time, the redness of lips, jawOpen and turn of the head, [T] each.

    Mouths seen far aslant are not judged.
    """
    told = (turned_deg < ASLANT_DEG) & (rate_hz >= MOUTH_HZ)
    nearest, seen = to_usual(pictures, told, resemblance(pictures, _means()["mouth"]), NO_MOUTH, rate_hz)
    usual, unlike = float(np.median(redness[seen])) if seen.any() else 0.0, nearest < LINKED
    if usual > TELLING:
        unlike &= redness < STILL_RED * usual
    return _grown(unlike & (jaw < WIDE_OPEN), unlike)


def covered_eyes(light: np.ndarray, pictures: np.ndarray, turned_deg: np.ndarray, rate_hz: float) -> np.ndarray:
    """[T] bool, where one of the eyes is covered, of `eye_light` [T,4], eye pictures [T,2,N] and the turn of the head [T]."""
    level, spread = light[:, [0, 2]], light[:, [1, 3]]
    dark = [(level < most) & (spread < even) for most, even in zip(DARK, EVEN, strict=True)]
    is_dark = (dark[0] | dark[1]).any(1) & (light.max(1) > 0)
    covered = is_dark.copy()
    both = FOR_BOTH * (pictures[:, 0] * pictures[:, 1]).mean(1)
    for side, lit in enumerate((light[:, 2:], light[:, :2])):
        like = resemblance(pictures[:, side], _means()["eye"]) + both
        told = (turned_deg < ASLANT_DEG) & ~is_dark & (rate_hz >= EYES_HZ)
        nearest, seen = to_usual(pictures[:, side], told, like, NO_EYE, rate_hz)
        covered |= (nearest < LINKED) & _lit_unusually(lit, seen)
    return _grown(covered, covered)


def _lit_unusually(light: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[T] bool of an eye's brightness and spread [T,2]; all where it is never seen."""
    if not seen.any():
        return np.ones(len(light), bool)
    ratio = light / np.maximum(np.median(light[seen], axis=0), 1e-6)
    low, high = np.array(USUAL_LIGHT).T
    return ((ratio < low) | (ratio > high)).any(1)


def to_usual(
    pictures: np.ndarray, told: np.ndarray, like: np.ndarray, least: float, rate_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    """[T] correlation with the nearest picture that shows a part uncovered, and bool [T], which those pictures are.

    1 for rows that are not `told`, 0 for those where the part is never seen.

    `pictures` [T,N] of one part in the order of time; `like` [T] is how much they resemble such a part, `least` what has to be.
    """
    nothing, unknown = np.zeros(len(pictures), bool), np.ones(len(pictures))
    if (told & pictures.any(1)).sum() < 2 * LEAST_ROWS:
        return unknown, nothing
    rows = np.flatnonzero(told)
    every = max(1, -(-len(rows) // MOST_COMPARED))
    rows, reach = rows[::every], max(1, round(STEADY_S * rate_hz / every))
    pictures = _twofold(pictures)
    groups = _groups(pictures[rows] @ pictures[rows].T, reach)
    worth = [float(np.median(like[rows][group])) for group in groups]
    best = int(np.argmax([value + FOR_SIZE * group.mean() for value, group in zip(worth, groups, strict=True)]))
    if worth[best] < least:
        return np.where(told, 0.0, unknown), nothing
    seen = groups[best].copy()
    for value, group in zip(worth, groups, strict=True):
        seen |= group & (group.mean() > LARGE and value > worth[best] - UNLIKE)
    nearest = (pictures @ pictures[rows[seen]].T).max(1)
    certain = nothing.copy()
    certain[rows[seen]] = True
    return np.where(told, nearest, unknown), certain


def resemblance(pictures: np.ndarray, means: np.ndarray) -> np.ndarray:
    """[T] how much pictures [T,N] are like the nearest of `means` [M,N]."""
    return (_twofold(pictures) @ _twofold(means).T).max(1)


def _twofold(pictures: np.ndarray) -> np.ndarray:
    """[T,K] of [T,N]: a product of two rows is the mean correlation of whole pictures and of their rows from BELOW on."""
    below = pictures[:, BELOW * PART_PX :]
    below = (below - below.mean(1, keepdims=True)) / np.maximum(below.std(1, keepdims=True), 1e-6)
    return np.hstack([pictures / np.sqrt(2 * pictures.shape[1]), below / np.sqrt(2 * below.shape[1])])


def _groups(alike: np.ndarray, reach: int) -> list[np.ndarray]:
    """[R] bool each: rows linked to one another by `alike` [R,R], the largest group first; small ones are left out."""
    steady = _steady(alike, reach)
    links, rest, groups = alike > LINKED, steady.copy(), []
    while rest.any():
        middle = int(np.argmax(np.where(rest, (links & rest).sum(1), -1)))
        group = np.zeros(len(alike), bool)
        group[middle] = True
        for _ in range(HOPS):
            group |= links[:, group].any(1) & steady
        groups.append(group & rest)
        rest &= ~group
    large = [group for group in groups if group.mean() >= SMALL]
    return large or groups[:1] or [np.ones(len(alike), bool)]


def _steady(alike: np.ndarray, reach: int) -> np.ndarray:
    """[R] bool: rows that resemble those `reach` before and behind them."""
    near, ends = np.diagonal(alike, reach) > LINKED, np.ones(min(reach, len(alike)), bool)
    return np.concatenate([ends, near]) & np.concatenate([near, ends])


def _grown(sure: np.ndarray, near: np.ndarray) -> np.ndarray:
    """[T] bool: runs of `sure | near` that hold enough sure rows, and a margin in which something comes or goes."""
    both = sure | near
    edges = np.flatnonzero(np.diff(np.concatenate([[0], both.astype(int), [0]])))
    result = np.zeros(len(sure), bool)
    for first, last in edges.reshape(-1, 2):
        if sure[first:last].sum() >= LEAST_ROWS:
            result[max(first - BEFORE, 0) : last + AFTER] = True
    return result


@cache
def _means() -> dict[str, np.ndarray]:
    """`mouth` and `eye`, float32 [M,N] each."""
    return read_arrays(Path(str(resources.files("pipelines.face") / "part_pictures.npz")))


def _normal(values: np.ndarray) -> np.ndarray:
    return ((values - values.mean()) / max(float(values.std()), 1e-6)).astype(np.float32)
