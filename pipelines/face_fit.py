"""From 478 tracked points to numbers: expression by geometry, head pose by PnP, and a person's own neutral and range.

The measured space is the embedded default: channels with ARKit's names computed from distances and displacements of the
points, after the rigid part of the face has been laid over the canonical landmarks, so that the head's pose falls out. Where
two ARKit shapes are opposites (`OPPOSITE`) one signed channel bears one's name and its negative values mean the other.
ARKit's Left is the person's left, which is the right side of a frontal image (+x in head space).
"""

from dataclasses import dataclass

import numpy as np

from pipelines.errors import SettingError
from pipelines.landmarks import FaceLandmarks

ARKIT_52: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight",
    "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft",
    "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
    "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip

MEASURED: tuple[str, ...] = (
    "jawOpen", "jawLeft", "mouthLeft", "mouthFunnel", "mouthPucker", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollUpper", "mouthRollLower", "mouthUpperUpLeft",
    "mouthUpperUpRight", "mouthLowerDownLeft", "mouthLowerDownRight", "eyeBlinkLeft", "eyeBlinkRight", "browInnerUp",
    "browDownLeft", "browDownRight", "browOuterUpLeft", "browOuterUpRight", "eyeLookOutLeft", "eyeLookOutRight",
    "eyeLookUpLeft", "eyeLookUpRight",
)  # fmt: skip

OPPOSITE: dict[str, str] = {
    "jawLeft": "jawRight", "mouthLeft": "mouthRight", "eyeBlinkLeft": "eyeWideLeft", "eyeBlinkRight": "eyeWideRight",
    "eyeLookOutLeft": "eyeLookInLeft", "eyeLookOutRight": "eyeLookInRight", "eyeLookUpLeft": "eyeLookDownLeft",
    "eyeLookUpRight": "eyeLookDownRight",
}  # fmt: skip
"""Signed channels of MEASURED: the ARKit shape that their negative values mean."""

RIGID = np.array([
    33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 122, 351, 196, 419, 2, 97, 326, 127, 356, 234, 454, 162, 389, 116, 345, 227, 447,
    143, 372, 34, 264, 10, 338, 109, 67, 297, 103, 332, 54, 284, 21, 251, 151, 68, 298, 139, 368, 71, 301,
])  # fmt: skip
"""Points that expression moves least: eye corners, bridge and base of the nose, temples, cheekbones, rim of the forehead.
On real clips they stay within 1.3-2.7 % of the distance of the pupils (root mean square), chin and lips move 10-50 %."""


@dataclass(frozen=True)
class Calibration:
    """A person's resting face and the range seen, [E] each, in raw scores."""

    neutral: np.ndarray
    low: np.ndarray
    high: np.ndarray


def space_names(space: str) -> tuple[str, ...]:
    """The channels of `measured` or `blendshapes`; SettingError for any other space."""
    known = {"measured": MEASURED, "blendshapes": ARKIT_52}
    if space not in known:
        raise SettingError(f"there is no expression space {space!r}; choose measured or blendshapes.")
    return known[space]


def expression(landmarks: FaceLandmarks, canonical: np.ndarray, space: str) -> np.ndarray:
    """float32 [E] raw scores of one face; `blendshapes` needs a tracker that was given its model."""
    names = space_names(space)
    if space == "measured":
        return measure(landmarks.points, canonical)
    if landmarks.blendshapes is None:
        raise SettingError("the blendshapes space needs face_landmarker.task; give its path or choose the measured space.")
    return np.array([landmarks.blendshapes.get(name, 0.0) for name in names], np.float32)


def normalized_points(points: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """[478,3] points in head units, laid over `canonical` [478,3] by the similarity transform of the RIGID points.

    `points` are the tracker's (pixels, y down, z smaller = nearer). Outliers count less (Huber weights at 1.5 medians).
    """
    upright = np.asarray(points, np.float64) * (1.0, -1.0, -1.0)
    scale, rotation, shift = similarity(upright[RIGID], np.asarray(canonical, np.float64)[RIGID])
    return scale * upright @ rotation.T + shift


def similarity(source: np.ndarray, target: np.ndarray, rounds: int = 4) -> tuple[float, np.ndarray, np.ndarray]:
    """scale, rotation [3,3], shift [3] that minimize sum w |scale R source + shift - target|^2 (Umeyama 1991), w reweighted."""
    weight = np.ones(len(source))
    for _ in range(rounds):
        share = weight / weight.sum()
        center_s, center_t = share @ source, share @ target
        s, t = source - center_s, target - center_t
        left, values, right = np.linalg.svd((share[:, None] * t).T @ s)
        sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
        rotation = left * sign @ right
        scale = float((values * sign).sum() / (share[:, None] * s * s).sum())
        shift = center_t - scale * rotation @ center_s
        error = np.linalg.norm(scale * source @ rotation.T + shift - target, axis=1)
        weight = np.minimum(1.0, 1.5 * np.median(error) / np.maximum(error, 1e-12))
    return scale, rotation, shift


def solve_pose(
    points_px: np.ndarray, model: np.ndarray, fx_px: float, center_px: tuple[float, float], guess: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """camera_from_head [4,4] (OpenCV, head units) of `model` [V,3] seen at `points_px` [V,2 or 3], and the median error in px.

    Square pixels, no distortion. With all 478 points only RIGID ones are used. SQPnP, then Levenberg-Marquardt on the points
    within three median errors; with `guess` (the last frame's pose) only the refinement, which is steadier.
    """
    import cv2

    seen, solid = np.asarray(points_px, np.float64)[:, :2], np.asarray(model, np.float64)
    if len(seen) == 478:
        seen, solid = seen[RIGID], solid[RIGID]
    matrix = np.array([[fx_px, 0.0, center_px[0]], [0.0, fx_px, center_px[1]], [0.0, 0.0, 1.0]])
    pose = guess if guess is not None else _first_pose(solid, seen, matrix)
    rvec, tvec = cv2.Rodrigues(pose[:3, :3])[0], pose[:3, 3:].copy()
    keep = np.ones(len(seen), bool)
    for _ in range(3):
        rvec, tvec = cv2.solvePnPRefineLM(solid[keep], seen[keep], matrix, None, rvec, tvec)
        error = np.linalg.norm(cv2.projectPoints(solid, rvec, tvec, matrix, None)[0][:, 0] - seen, axis=1)
        keep = error <= 3.0 * max(float(np.median(error)), 1e-6)
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = cv2.Rodrigues(rvec)[0], tvec[:, 0]
    if guess is not None and (result[2, 3] <= 0 or np.median(error) > 0.1 * np.ptp(seen[:, 0])):
        return solve_pose(points_px, model, fx_px, center_px)
    return result, float(np.median(error))


def _first_pose(solid: np.ndarray, seen: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    import cv2

    _, rvec, tvec = cv2.solvePnP(solid, seen, matrix, None, flags=cv2.SOLVEPNP_SQPNP)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = cv2.Rodrigues(rvec)[0], tvec[:, 0]
    return pose


def measure(points: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """float32 [len(MEASURED)] raw scores: about 0 at a mean resting face, about 1 at a full expression, not person-normalized.

    Lengths are in outer-eye-corner distances of the canonical head, which the points were laid over.
    """
    unit = float(np.linalg.norm(canonical[33] - canonical[263]))
    p = normalized_points(points, canonical) / unit
    return _scores(p)


def _at(p: np.ndarray, *indices: int) -> np.ndarray:
    """The mean of some points, [3]."""
    return p[list(indices)].mean(0)


def _gap(p: np.ndarray, a: int, b: int) -> float:
    return float(np.linalg.norm(p[a] - p[b]))


def _scores(p: np.ndarray) -> np.ndarray:
    """Every channel from points in eye-corner units; its two numbers are its rest and its travel to a full expression."""
    values: dict[str, float] = {}
    nose, chin = p[2], _at(p, 152, 175, 199)
    gap, drop, width = _gap(p, 13, 14), float(nose[1] - chin[1]), _gap(p, 61, 291)
    lips = _at(p, 13, 14)
    forward = float(_at(p, 0, 17, 13, 14)[2] - 0.5 * (p[61, 2] + p[291, 2]))
    values["jawOpen"] = 0.5 * (drop - 0.72) / 0.30 + 0.5 * gap / 0.40
    values["jawLeft"] = float(chin[0]) / 0.12
    values["mouthLeft"] = float(_at(p, 61, 291, 13, 14)[0]) / 0.12
    narrow = (0.58 - width) / 0.16
    values["mouthFunnel"] = 0.5 * narrow + 0.5 * gap / 0.15
    values["mouthPucker"] = 0.7 * narrow + 0.3 * (forward - 0.13) / 0.08
    for side, corner, sign in (("Right", 61, -1.0), ("Left", 291, 1.0)):
        up, out = float(p[corner, 1] - nose[1]), sign * float(p[corner, 0])
        values["mouthSmile" + side] = 0.6 * (up + 0.28) / 0.12 + 0.4 * (out - 0.29) / 0.08
        values["mouthFrown" + side] = (float(lips[1] - p[corner, 1]) - 0.02) / 0.08
        values["mouthStretch" + side] = 0.7 * (out - 0.29) / 0.07 - 0.3 * (up + 0.28) / 0.10
    values["mouthRollUpper"] = (0.08 - _gap(p, 0, 13)) / 0.06
    values["mouthRollLower"] = (0.10 - _gap(p, 14, 17)) / 0.07
    for side, upper, lower in (("Right", (37, 39, 82), (84, 181, 87)), ("Left", (267, 269, 312), (314, 405, 317))):
        values["mouthUpperUp" + side] = (float(_at(p, *upper)[1] - nose[1]) + 0.16) / 0.08
        values["mouthLowerDown" + side] = (0.30 - float(_at(p, *lower)[1] - chin[1])) / 0.10
    eyes = {
        "Right": ((33, 133), ((159, 145), (158, 153), (160, 144)), 468, (107, 55), (46, 70, 53), -1.0),
        "Left": ((263, 362), ((386, 374), (385, 380), (387, 373)), 473, (336, 285), (276, 300, 283), 1.0),
    }
    inner_up = 0.0
    for side, (corners, lids, iris, inner_brow, outer_brow, sign) in eyes.items():
        eye_width = _gap(p, *corners)
        middle = _at(p, *corners)
        open_ = float(np.mean([_gap(p, *pair) for pair in lids])) / eye_width
        values["eyeBlink" + side] = 1.0 - open_ / 0.27
        look = (p[iris] - middle) / eye_width
        values["eyeLookOut" + side] = sign * float(look[0]) / 0.20
        values["eyeLookUp" + side] = (float(look[1]) - 0.03) / 0.12
        inner, outer = float(_at(p, *inner_brow)[1] - middle[1]), float(_at(p, *outer_brow)[1] - middle[1])
        inner_up += 0.5 * (inner - 0.24) / 0.08
        values["browDown" + side] = (0.24 - inner) / 0.07
        values["browOuterUp" + side] = (outer - 0.20) / 0.08
    values["browInnerUp"] = inner_up
    return np.array([values[name] for name in MEASURED], np.float32)


def calibrate(expression: np.ndarray, valid: np.ndarray) -> Calibration:
    """The resting face and the 2nd and 98th percentiles of `expression` [T,E] over its valid rows.

    The rest is where faces are densest: the median of the quarter of the frames nearest to the running center, after every
    channel is divided by its spread; starts from the median and repeats, so that a clip half full of grimaces still finds it.
    """
    rows = np.asarray(expression, np.float64)[np.asarray(valid, bool)]
    if len(rows) == 0:
        raise SettingError("no frame with a face to calibrate from.")
    spread = np.maximum(np.percentile(rows, 75, axis=0) - np.percentile(rows, 25, axis=0), 0.05)
    neutral = np.median(rows, axis=0)
    for _ in range(8):
        distance = np.minimum(np.abs(rows - neutral) / spread, 3.0).mean(axis=1)
        neutral = np.median(rows[distance <= np.quantile(distance, 0.25)], axis=0)
    low, high = np.percentile(rows, [2.0, 98.0], axis=0)
    low, high = np.minimum(low, neutral), np.maximum(high, neutral)
    return Calibration(*(value.astype(np.float32) for value in (neutral, low, high)))
