"""The measured expression channels: each a weighted sum of a few distances on the face, readable one by one.

Features are taken from points laid over the canonical head and divided by the distance of the outer eye corners; x runs to
the person's left, y up, z out of the face. A channel of the right half is its left twin on the mirrored face. `turn` is the
sine of the head's turn to the person's own side: the tracker's points bend a little with yaw, and these terms straighten
them.

The weights come from least squares on 3,357 renders (256 px) of 48 synthetic people (ICT-FaceKit) with known ARKit weights
and views within 35 degrees, scaled so that a full expression of a real face is about 1; the rest of the brows is that of
seven filmed people, because drawn brows sit differently. Correlation with the truth within one person, all other expressions
mixed in: jaw .88, smile .77, mouth to the side .75, lids .75, gaze .77 sideways and .40 upwards, funnel .56, lower lip rolled
.54, outer brow .52, pucker .48, upper lip .46, inner brow .44; stretch, frown, lower lip down and brow down .2 to .34. In a
clip of one synthetic person near frontal: jaw .95, lids .91, brows .93.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Half:
    """Landmark indices of one half of the face, paired with those of the other half by name."""

    sign: float
    """+1 on the person's left: multiplies x."""
    corner: tuple[int, ...]
    upper: tuple[int, ...]
    upper_inner: tuple[int, ...]
    lower: tuple[int, ...]
    lower_inner: tuple[int, ...]
    lower_side: tuple[int, ...]
    cheek: tuple[int, ...]
    lid_pairs: tuple[tuple[int, int], ...]
    eye_corners: tuple[int, int]
    iris: int
    inner_brow: tuple[int, ...]
    middle_brow: tuple[int, ...]
    outer_brow: tuple[int, ...]


LEFT = Half(
    1.0, corner=(291,), upper=(267, 269), upper_inner=(312, 311), lower=(314, 405), lower_inner=(317, 402),
    lower_side=(321, 375), cheek=(425,), lid_pairs=((386, 374), (385, 380), (387, 373)), eye_corners=(362, 263), iris=473,
    inner_brow=(336, 285), middle_brow=(334, 282, 293, 296), outer_brow=(276, 300, 283),
)  # fmt: skip
RIGHT = Half(
    -1.0, corner=(61,), upper=(37, 39), upper_inner=(82, 81), lower=(84, 181), lower_inner=(87, 178),
    lower_side=(91, 146), cheek=(205,), lid_pairs=((159, 145), (158, 153), (160, 144)), eye_corners=(133, 33), iris=468,
    inner_brow=(107, 55), middle_brow=(105, 52, 63, 66), outer_brow=(46, 70, 53),
)  # fmt: skip


@dataclass(frozen=True)
class Channel:
    """score = rest + sum of weight * feature."""

    rest: float
    weights: dict[str, float]


MIDDLE: dict[str, Channel] = {
    "jawOpen": Channel(-0.308, {
        "lip14_y": -1.61, "lip18_y": 0.46, "chin_y": 0.20, "chin_z": -0.77, "lower_inner_y.both": -1.38, "turn2": 0.11,
    }),
    "jawLeft": Channel(0.0, {"tip_x": 5.13, "chin_x": 3.91, "corners_x": 13.95, "upper_lip_x": -2.37, "turn": -1.76}),
    "mouthLeft": Channel(0.0, {"lips_x": 3.09, "upper_lip_x": 2.92, "corners_x": 2.53, "chin_x": -0.13, "turn": -0.50}),
    "mouthFunnel": Channel(4.267, {
        "gap": 1.78, "lip0_y": 6.64, "width": -3.21, "nose_y": -2.12, "chin_y": -0.17, "turn2": -0.26,
    }),
    "mouthPucker": Channel(4.189, {
        "width": -4.27, "chin_z": -1.56, "lip0_y": 7.97, "lip13_y": -6.19, "corner_z.both": -2.20, "cheek_x.both": 5.78,
        "turn2": 0.34,
    }),
    "mouthRollLower": Channel(1.657, {
        "lip17_y": 9.67, "lower_inner_y.both": -6.68, "lip18_y": -4.88, "lip14_y": -5.81, "lower_y.both": 7.29,
        "corner_z.both": -0.89, "turn2": 0.33,
    }),
    "browInnerUp": Channel(-2.99, {"inner_brow_y.both": 12.0}),
}  # fmt: skip
"""Channels of the whole face."""

PAIRED: dict[str, Channel] = {
    "mouthSmile": Channel(3.168, {
        "corner_y": 4.90, "corner_z": -2.59, "corner_x": 1.47, "corner_y.other": 1.02, "lip14_y": -1.96, "corner_x.other": 1.76,
        "nose_y": -2.67, "turn": -0.11,
    }),
    "mouthFrown": Channel(1.818, {
        "lower_side_y": -5.10, "corner_y": -3.91, "lip13_y": 5.42, "lip17_y": 5.82, "corner_z": -2.97,
        "lower_side_y.other": -4.71, "turn": 0.06, "turn2": 0.35,
    }),
    "mouthStretch": Channel(-3.802, {
        "corner_x": 5.79, "corner_x.other": 5.13, "corner_y": -4.57, "gap": 3.28, "lip17_y": 2.96, "turn": 0.08, "turn2": 0.21,
    }),
    "mouthUpperUp": Channel(2.774, {
        "upper_y": 3.67, "upper_inner_y": 4.51, "lip13_y": 2.95, "chin_y": -1.57, "nose_y": -3.20, "corner_y": -1.13,
        "turn": -0.06, "turn2": -0.26,
    }),
    "mouthLowerDown": Channel(2.368, {
        "lower_y": -0.94, "lower_inner_y": -0.78, "lower_side_y": -2.97, "chin_y": 0.21, "chin_z": -1.97, "gap": 0.70,
        "corner_y.both": 5.05, "turn": 0.09, "turn2": 0.08,
    }),
    "eyeBlink": Channel(1.172, {"lids": -4.06}),
    "eyeLookOut": Channel(0.0, {"iris_x": 3.30, "iris_x.other": -1.60, "turn": 0.15}),
    "eyeLookUp": Channel(-0.572, {"iris_y": 4.60, "iris_y.other": 4.00, "lower_lid_y": 2.10, "lids": 1.00, "turn2": 0.27}),
    "browDown": Channel(2.70, {"inner_brow_y": -5.0, "middle_brow_y": -5.0}),
    "browOuterUp": Channel(-1.959, {
        "outer_brow_y": 1.17, "middle_brow_y": 3.54, "outer_brow_up": 3.58, "turn": 0.11, "turn2": 0.58,
    }),
}  # fmt: skip
"""Channels that exist left and right."""


def channel_names() -> tuple[str, ...]:
    """ARKit names in a fixed order: those of the whole face, then left and right of each pair."""
    return (*MIDDLE, *(name + side for name in PAIRED for side in ("Left", "Right")))


def channel_scores(points: np.ndarray, turn: float) -> np.ndarray:
    """float32 [27] of points [478,3] in eye-corner units; `turn` = sine of the head's yaw, positive to the person's left."""
    middle, left, right = middle_features(points), half_features(points, LEFT), half_features(points, RIGHT)
    scores = [_score(channel, middle, left, right, turn) for channel in MIDDLE.values()]
    for channel in PAIRED.values():
        scores += [_score(channel, middle, left, right, turn), _score(channel, middle, right, left, -turn)]
    return np.array(scores, np.float32)


def _score(channel: Channel, middle: dict[str, float], own: dict[str, float], other: dict[str, float], turn: float) -> float:
    total = channel.rest
    for name, weight in channel.weights.items():
        stem, _, which = name.partition(".")
        if stem.startswith("turn"):
            value = turn * turn if stem == "turn2" else turn
        elif which == "both":
            value = 0.5 * (own[stem] + other[stem])
        else:
            value = other[stem] if which == "other" else own[stem] if stem in own else middle[stem]
        total += weight * value
    return total


def middle_features(p: np.ndarray) -> dict[str, float]:
    """Positions and distances around the middle line."""
    chin = p[[152, 175, 199]].mean(0)
    return {
        "lips_x": p[[13, 14], 0].mean(), "upper_lip_x": p[[0, 13], 0].mean(), "corners_x": p[[61, 291], 0].mean(),
        "chin_x": chin[0], "chin_y": chin[1], "chin_z": chin[2], "tip_x": p[152, 0], "nose_y": p[2, 1],
        "gap": p[13, 1] - p[14, 1], "width": p[291, 0] - p[61, 0], **{f"lip{i}_y": p[i, 1] for i in (0, 13, 14, 17, 18)},
    }  # fmt: skip


def half_features(p: np.ndarray, half: Half) -> dict[str, float]:
    """Positions in one half: x counts outwards, brows from the nose bridge, iris and lids in eye widths from its middle."""
    inner, outer = p[half.eye_corners[0]], p[half.eye_corners[1]]
    width, middle = float(np.linalg.norm(inner - outer)), 0.5 * (inner + outer)
    bridge = p[[6, 168, 197], 1].mean()
    values: dict[str, float] = {}
    for name in ("corner", "upper", "upper_inner", "lower", "lower_inner", "lower_side", "cheek"):
        x, y, z = p[list(getattr(half, name))].mean(0)
        values |= {f"{name}_x": half.sign * x, f"{name}_y": y, f"{name}_z": z}
    for name in ("inner_brow", "middle_brow", "outer_brow"):
        values[f"{name}_y"] = p[list(getattr(half, name)), 1].mean() - bridge
    values["outer_brow_up"] = p[list(half.outer_brow), 1].mean() - middle[1]
    upper, lower = p[[pair[0] for pair in half.lid_pairs]], p[[pair[1] for pair in half.lid_pairs]]
    values["lids"] = float(np.linalg.norm(upper - lower, axis=1).mean()) / width
    values["lower_lid_y"] = (lower[:, 1].mean() - middle[1]) / width
    values["iris_x"] = half.sign * (p[half.iris, 0] - middle[0]) / width
    values["iris_y"] = (p[half.iris, 1] - middle[1]) / width
    return values


def region_of(name: str) -> str:
    """`mouth`, `lids`, `brows` or `gaze` of an ARKit name; cheeks and nose move with the mouth."""
    if name.startswith("eyeLook"):
        return "gaze"
    return "lids" if name.startswith("eye") else "brows" if name.startswith("brow") else "mouth"
