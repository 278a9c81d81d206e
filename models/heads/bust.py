"""Our own body, made by code: head, neck and shoulders as one closed surface with six joints, for whoever has no SMPL.

Proportions are an adult's, in metres from the neck joint (3DPortraitGAN's space): rings of half width, front and back over the
height, a nose on top, so that the frames of the faces follow a face. Free of anybody's data, mirror-symmetric and watertight.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy.interpolate import PchipInterpolator

from models.heads.skinned_body import SkinnedBody

OUTLINE = np.array([
    [-0.560, 0.150, 0.085, -0.080], [-0.450, 0.165, 0.100, -0.095], [-0.300, 0.185, 0.105, -0.098],
    [-0.200, 0.212, 0.098, -0.100], [-0.140, 0.218, 0.088, -0.098], [-0.105, 0.206, 0.080, -0.092],
    [-0.075, 0.175, 0.071, -0.083], [-0.050, 0.128, 0.062, -0.072], [-0.030, 0.086, 0.056, -0.061],
    [-0.010, 0.060, 0.057, -0.053], [0.012, 0.054, 0.074, -0.047], [0.035, 0.056, 0.108, -0.045],
    [0.060, 0.067, 0.123, -0.049], [0.090, 0.077, 0.127, -0.060], [0.125, 0.085, 0.127, -0.070],
    [0.165, 0.089, 0.125, -0.074], [0.205, 0.083, 0.115, -0.066], [0.240, 0.062, 0.092, -0.040],
    [0.258, 0.036, 0.064, -0.011], [0.266, 0.014, 0.042, 0.012],
])  # fmt: skip
"""Height, half width, front and back of the outline, m."""
TOP = 0.268
NOSE_HEIGHT, NOSE_LENGTH = 0.105, 0.028
"""Of the tip, and how far it stands out, m."""
JOINTS = {
    "trunk": (0.0, -0.45, 0.0), "chest": (0.0, -0.2, 0.0), "neck": (0.0, 0.0, 0.0), "head": (0.0, 0.065, 0.03),
    "left shoulder": (0.174, -0.062, 0.0), "right shoulder": (-0.174, -0.062, 0.0),
}  # fmt: skip
PARENTS = (-1, 0, 1, 2, 1, 1)


@cache
def bust(rings: int = 69, segments: int = 52) -> SkinnedBody:
    """The body of `rings` rings and two poles; `segments` must be divisible by 4. 69 x 52: 3590 vertices, 7176 faces."""
    if segments % 4 or rings < 4:
        raise ValueError(f"a bust has at least 4 rings of a multiple of 4 segments, not {rings} of {segments}")
    points = np.concatenate([_rings(rings, segments), [[0.0, OUTLINE[0, 0] - 0.01, 0.0], [0.0, TOP, 0.028]]])
    return SkinnedBody(
        vertices=torch.from_numpy(points.astype(np.float32)), faces=torch.from_numpy(_faces(rings, segments)),
        weights=torch.from_numpy(_weights(points).astype(np.float32)), parents=PARENTS,
        joints=torch.from_numpy(np.array(list(JOINTS.values()), np.float32)), neck=list(JOINTS).index("neck"),
        head=list(JOINTS).index("head"),
    )  # fmt: skip


def _rings(rings: int, segments: int) -> np.ndarray:
    """[R*S,3] from the bottom up, each counterclockwise seen from above, from the left of the person over the back."""
    heights = _heights(rings)
    width, front, back = (_outline(column)(heights)[:, None] for column in (1, 2, 3))
    quarter = np.cos(2 * np.pi * np.arange(segments // 4 + 1) / segments)
    quarter[-1] = 0.0  # all angles from those of a quarter, so that mirror images are exact
    half = np.concatenate([quarter, -quarter[-2::-1]])
    cosine = np.concatenate([half, half[-2:0:-1]])
    sine = np.roll(cosine, segments // 4)
    round_share = 1 - 0.12 * smoothstep(-heights[:, None], 0.02, 0.12)  # the trunk is a little squarer than the head
    x = width * np.sign(cosine) * np.abs(cosine) ** round_share
    z = (front + back) / 2 - (front - back) / 2 * np.sign(sine) * np.abs(sine) ** round_share
    frontal = np.exp(-((2 * np.pi * (np.arange(segments) / segments - 0.75) / 0.16) ** 2))
    rise = smoothstep(heights, NOSE_HEIGHT - 0.018, NOSE_HEIGHT) - smoothstep(heights, NOSE_HEIGHT, NOSE_HEIGHT + 0.055)
    z = z + NOSE_LENGTH * rise[:, None] * frontal
    return np.stack([x, np.broadcast_to(heights[:, None], x.shape), z], axis=-1).reshape(-1, 3)


def _heights(rings: int) -> np.ndarray:
    """[R] from the bottom to the crown: three quarters of the rings where neck and head are, and closer towards the crown."""
    low, high = OUTLINE[0, 0], OUTLINE[-1, 0]
    share = np.linspace(0, 1, rings)
    knots = PchipInterpolator([0.0, 0.25, 0.85, 1.0], [low, -0.12, 0.215, high])
    return knots(share)


def _outline(column: int) -> Callable[[np.ndarray], np.ndarray]:
    return PchipInterpolator(OUTLINE[:, 0], OUTLINE[:, column])


def _faces(rings: int, segments: int) -> np.ndarray:
    """[F,3] counterclockwise from outside; diagonals are mirrored where x changes its sign, and so is the surface."""
    faces: list[tuple[int, int, int]] = []
    bottom, top = rings * segments, rings * segments + 1
    for ring in range(rings - 1):
        for k in range(segments):
            a, b = ring * segments + k, ring * segments + (k + 1) % segments
            c, d = a + segments, b + segments
            left = k < segments // 4 or k >= 3 * segments // 4
            faces += [(a, b, d), (a, d, c)] if left else [(a, b, c), (b, d, c)]
    last = (rings - 1) * segments
    for k in range(segments):
        following = (k + 1) % segments
        faces += [(bottom, following, k), (top, last + k, last + following)]
    return np.array(faces, dtype=np.int64)


def _weights(points: np.ndarray) -> np.ndarray:
    """[V,6] smooth shares: chin and skull follow the head, throat and nape the neck; shoulders hang on the chest."""
    x, y, z = points.T
    along = y + 0.5 * (z - 0.01)  # the neck leans forward: the chin is above the nape
    head, above = smoothstep(along, 0.005, 0.085), smoothstep(along, -0.095, 0.005)
    shoulders = smoothstep(np.abs(x), 0.08, 0.19) * smoothstep(y, -0.34, -0.12)
    side = smoothstep(x, -0.06, 0.06)
    chest = smoothstep(y, -0.42, -0.24)
    below = 1 - above
    trunk = [below * (1 - shoulders) * (1 - chest), below * (1 - shoulders) * chest]
    return np.stack([*trunk, above * (1 - head), above * head, below * shoulders * side, below * shoulders * (1 - side)], 1)


def smoothstep(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high` on, 3 s^2 - 2 s^3 between."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


BODIES: dict[str, Callable[[], SkinnedBody]] = {"bust": bust, "coarse bust": lambda: bust(14, 16)}
"""Bodies that need no file, by the name in a config."""


def body_of_name(name: str) -> SkinnedBody | None:
    """A body made by code, or None where the name stands for a file of the user's."""
    return BODIES[name]() if name in BODIES else None
