"""From 478 tracked points to numbers: expression by geometry, head pose by PnP, and a person's own neutral and range.

The measured space is the embedded default: channels with ARKit's names computed from distances and displacements of the
points, after the rigid part of the face has been laid over the canonical landmarks, so that the head's pose falls out. Where
two ARKit shapes are opposites (`OPPOSITE`) one signed channel bears one's name and its negative values mean the other.
ARKit's Left is the person's left, which is the right side of a frontal image (+x in head space).
"""

from dataclasses import dataclass

import numpy as np

from pipelines.core.errors import SettingError
from pipelines.face.channels import channel_names, channel_scores, region_of
from pipelines.face.tracker import FaceLandmarks
from pipelines.geometry.rigid import similarity

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

MEASURED: tuple[str, ...] = channel_names()
"""The 27 channels of the measured space."""

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
SHUT_SHARE, NEARLY, OPEN_LIDS = 0.1, 0.02, 40
"""Rows whose lips are nearest to shut, what makes no difference there, and the percentile of lids at rest."""
RELIABLE_DEG = 20.0
"""Toward the profile the tracker's landmarks bend to the frontal face: beyond this yaw they count less and less."""


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
        return measure_expression(landmarks.points, canonical)
    if landmarks.blendshapes is None:
        raise SettingError("the blendshapes space needs face_landmarker.task; give its path or choose the measured space.")
    return np.array([landmarks.blendshapes.get(name, 0.0) for name in names], np.float32)


def frontality(yaw_deg: np.ndarray | float) -> np.ndarray:
    """0..1, how much a landmark counts at a yaw: half at RELIABLE_DEG, 1/17 at twice it."""
    return 1 / (1 + (np.asarray(yaw_deg) / RELIABLE_DEG) ** 4)


def align_to_canonical(points: np.ndarray, canonical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The normalized points and the rotation [3,3] that made them upright; its [2,0] is the sine of the head's yaw."""
    upright = np.asarray(points, np.float64) * (1.0, -1.0, -1.0)
    scale, rotation, shift = similarity(upright[RIGID], np.asarray(canonical, np.float64)[RIGID])
    return scale * upright @ rotation.T + shift, rotation


def solve_pose(
    points_px: np.ndarray, model: np.ndarray, fx_px: float, center_px: tuple[float, float], guess: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """camera_from_head [4,4] (OpenCV, head units) of `model` [V,3] seen at `points_px` [V,2 or 3], and the median error in px.

    Square pixels, no distortion. With all 478 points only RIGID ones are used. SQPnP, then Levenberg-Marquardt on the points
    within three median errors; with `guess` (the last frame's pose) only the refinement, which is steadier.
    """
    import cv2

    seen, solid = np.array(points_px, np.float64)[:, :2].copy(), np.array(model, np.float64)
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


def measure_expression(points: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """float32 [len(MEASURED)] raw scores: about 0 at a mean resting face, about 1 at a full expression, not person-normalized.

    Heads turned by up to 30 degrees give nearly the same scores; beyond, the points of the far side are the tracker's guesses.
    """
    laid, rotation = align_to_canonical(points, canonical)
    return channel_scores(laid / np.linalg.norm(canonical[33] - canonical[263]), turn=float(rotation[2, 0]))


def rest_of(expression: np.ndarray, apart: np.ndarray, names: tuple[str, ...], neutral: np.ndarray) -> np.ndarray:
    """[E] the rest `neutral` of rows [T,E] with shut lips and open lids, as far as the rows show them.

    Who talks, sings or smiles from the first to the last frame has a usual mouth that is open; the rest is that of the rows
    whose lips are shut, or nearest to it: the tenth in which they are least `apart` [T], and all that are nearly as near. Lids
    rest where they are open: at the 40th percentile of their scores at most, so that a squint is none.
    """
    shut = apart <= float(np.quantile(apart, SHUT_SHARE, method="lower")) + NEARLY
    rest, regions = np.array(neutral, np.float64), [region_of(name) for name in names]
    mouth = [column for column, region in enumerate(regions) if region == "mouth"]
    lids = [column for column, name in enumerate(names) if name.startswith("eyeBlink")]
    rest[mouth] = calibrate(expression, shut).neutral[mouth]
    rest[lids] = np.minimum(rest[lids], np.percentile(expression[:, lids], OPEN_LIDS, axis=0))
    return rest.astype(np.float32)


def lips_apart(expression: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """[T] how far lips are apart by the scores [T,E] alone: of the jaw, less what ARKit's mouthClose takes back of it."""
    shut = expression[:, names.index("mouthClose")] if "mouthClose" in names else 0.0
    return expression[:, names.index("jawOpen")] - shut


def calibrate(expression: np.ndarray, valid: np.ndarray) -> Calibration:
    """The resting face and the 1st and 99th percentiles of `expression` [T,E] over its valid rows.

    The rest is a dense place near the mean resting face, where scores are 0: starting from the quarter of the rows with the
    smallest scores, the median of the quarter nearest to the running center (channels over their spread) that also stays small.
    So neither a clip half full of grimaces nor long lowered eyes are taken for rest.
    """
    rows = np.asarray(expression, np.float64)[np.asarray(valid, bool)]
    if len(rows) == 0:
        raise SettingError("no frame with a face to calibrate from.")
    spread = np.maximum(np.percentile(rows, 75, axis=0) - np.percentile(rows, 25, axis=0), 0.05)
    effort = np.minimum(np.abs(rows), 1.0).mean(axis=1) / max(float(np.minimum(np.abs(rows), 1.0).mean()), 1e-6)
    neutral = np.median(rows[effort <= np.quantile(effort, 0.25)], axis=0)
    for _ in range(8):
        distance = np.minimum(np.abs(rows - neutral) / spread, 3.0).mean(axis=1) + effort
        neutral = np.median(rows[distance <= np.quantile(distance, 0.25)], axis=0)
    low, high = np.percentile(rows, [1.0, 99.0], axis=0)
    low, high = np.minimum(low, neutral), np.maximum(high, neutral)
    return Calibration(*(value.astype(np.float32) for value in (neutral, low, high)))
