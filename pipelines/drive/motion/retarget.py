"""From the driver's expression to the avatar's: its own rest and range, smoothed without delay, kept within what was captured.

Per channel, with n the resting score, r the range on the side of the movement (up or down), d the driver and a the avatar:
`e = n_a + strength * gain * (e_d - n_d)`, where the gain is r_a / r_d, to the power `match` where that is above 1; then clamped
to the avatar's range plus `overshoot`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.core.errors import SettingError
from pipelines.drive.settings import RetargetSettings
from pipelines.face.channels import region_of
from pipelines.face.expression import Calibration, calibrate, lips_apart, rest_of
from pipelines.face.openings import of_open_eyes
from pipelines.face.track import Track
from pipelines.geometry.filters import by_shots, one_euro

LEAST_RANGE = 0.25
"""A driver's range below this is taken as this: a face that hardly smiles is not blown up to a grin."""
BEND = 5.0
"""A stretching gain is at most this times the gain of the other side."""
UNPAIRED = ("jawLeft", "mouthLeft", "eyeBlinkLeft")
"""Names that end in Left and have a gain of their own: directions, and lids, each of which has to close."""
RESTING = {"jawOpen": 0.25, "mouthSmileLeft": 0.3, "mouthSmileRight": 0.3}
"""A measured rest is at most this: who sings or smiles all the time rests as others do (smiles at rest: -.2 to .25)."""
NO_GAZE = 0.6
"""Share of the way to closed lids from which the iris is hidden and the gaze is carried over."""


@dataclass(frozen=True, kw_only=True)
class Retargeted:
    """What the expression map is fed, a row a frame of the output."""

    expression: np.ndarray
    """[T,E] float32 raw scores of the avatar's space."""
    clamped: np.ndarray
    """[T,E] bool."""
    driver: Calibration


def retarget(track: Track, avatar: Calibration, settings: RetargetSettings) -> Retargeted:
    """The avatar's expression for every row of the track, which must be evenly spaced in time."""
    found = driver_range(track, settings.neutral_s)
    span = np.maximum(found.high - found.low, LEAST_RANGE)
    scores = carry_gaze(track.expression, found, track.names)
    calm = (
        by_shots(
            lambda part: one_euro(part, track.rate_hz, settings.smooth_hz, settings.smooth_speed), scores / span, track.shots
        )
        * span
    )
    moved = keep_closures(scores, calm, found, track.names) - found.neutral
    gain = np.where(moved >= 0, *(side_gain(found, avatar, side, track.names, settings) for side in ("high", "low")))
    target = avatar.neutral + strengths(track.names, settings) * gain * moved
    room = settings.overshoot * (avatar.high - avatar.low)
    kept = np.clip(target, avatar.low - room, avatar.high + room)
    return Retargeted(expression=kept.astype(np.float32), clamped=np.abs(kept - target) > 1e-6, driver=found)


def wanted_openings(track: Track, settings: RetargetSettings) -> np.ndarray:
    """[T,3] the driver's gaps of lips and lids, the lids' over its own open eye.

    NaN where they do not count: the driver does not say, or the avatar is to do more or less than the driver.
    """
    if track.openings is None:
        return np.full((len(track.valid), 3), np.nan)
    gaps, mine = of_open_eyes(track.openings.astype(np.float64)), np.array([settings.mouth, settings.lids, settings.lids])
    return np.where(mine == 1.0, gaps, np.nan)


def driver_range(track: Track, neutral_s: float | None) -> Calibration:
    """The driver's rest and range from the frames that can be trusted; the rest at `neutral_s` where that is given."""
    trusted = track.valid & (track.confidence > 0.5)
    rows = trusted if trusted.sum() >= 5 else track.valid
    found = calibrate(track.expression, rows)
    if not track.is_still:
        scores = track.expression[rows]
        rest = rest_of(scores, lips_apart(scores, track.names), track.names, found.neutral)
        found = Calibration(neutral=rest, low=np.minimum(found.low, rest), high=np.maximum(found.high, rest))
    if neutral_s is None:
        return rested(found, track)
    near = np.abs(track.times_s - neutral_s) <= 0.15
    if not near.any():
        raise SettingError(f"retarget.neutral_s={neutral_s} lies outside the driver, which ends at {track.times_s[-1]:.2f} s.")
    rest = np.median(track.expression[near], axis=0)
    return Calibration(neutral=rest, low=np.minimum(found.low, rest), high=np.maximum(found.high, rest))


def rested(found: Calibration, track: Track) -> Calibration:
    """`found` with a rest that is neither an open mouth nor a smile, where scores say how far they are from a mean rest."""
    if track.is_still:  # one picture says nothing of its owner's rest: that of a mean face
        rest = np.zeros_like(found.neutral)
        return Calibration(neutral=rest, low=np.minimum(found.low, rest), high=np.maximum(found.high, rest))
    if track.space != "measured":
        return found
    most = np.array([RESTING.get(name, np.inf) for name in track.names], np.float32)
    rest = np.minimum(found.neutral, most)
    return Calibration(neutral=rest, low=np.minimum(found.low, rest), high=found.high)


def side_gain(
    driver: Calibration, avatar: Calibration, side: str, names: tuple[str, ...], settings: RetargetSettings
) -> np.ndarray:
    """[E] r_a / r_d on one side of the rest where that is below 1, else (r_a / r_d)^match up to `most`.

    A side is stretched less where the other one shrinks (BEND): else the way through the rest would have a sharp bend.
    A driver's full smile is never more than the avatar's full smile; a weak driver is strengthened with care. 1 where the
    avatar has no range to match. Left and right have one gain, of the driver's larger and the avatar's mean range, so that a
    smile that is stronger on one side stays so.
    """
    ratio, other = (range_ratio(driver, avatar, one, names) for one in (side, "low" if side == "high" else "high"))
    most = np.minimum(settings.most, np.maximum(1.0, BEND * other))
    return np.where(ratio < 1.0, ratio, np.minimum(ratio**settings.match, most))


def range_ratio(driver: Calibration, avatar: Calibration, side: str, names: tuple[str, ...]) -> np.ndarray:
    """[E] r_a / r_d on one side of the rest."""
    range_d = np.maximum(paired(np.abs(getattr(driver, side) - driver.neutral), names, np.max), LEAST_RANGE)
    range_a = paired(np.abs(getattr(avatar, side) - avatar.neutral), names, np.mean)
    return np.where(range_a > 0.005, range_a, range_d) / range_d


def paired(values: np.ndarray, names: tuple[str, ...], joined: Callable[[list[float]], float]) -> np.ndarray:
    """[E] with the values of a left and a right channel replaced by `joined` of the two."""
    result = np.array(values, np.float64)
    for left, name in enumerate(names):
        if name.endswith("Left") and (other := name.removesuffix("Left") + "Right") in names and name not in UNPAIRED:
            right = names.index(other)
            result[[left, right]] = joined([values[left], values[right]])
    return result


def strengths(names: tuple[str, ...], settings: RetargetSettings) -> np.ndarray:
    """[E] the strength of each channel's region."""
    return np.array([getattr(settings, region_of(name)) for name in names])


def keep_closures(scores: np.ndarray, calm: np.ndarray, driver: Calibration, names: tuple[str, ...]) -> np.ndarray:
    """`calm` [...,E] with lids that are closing as they were read in `scores`: a blink is as deep and as early as the driver's.

    From a quarter of the way to closed lids on the smoothed score gives way to the read one, at half of it altogether.
    """
    lids = [i for i, name in enumerate(names) if name.startswith("eyeBlink")]
    result = np.array(calm, np.float64)
    travel = np.maximum(driver.high[lids] - driver.neutral[lids], LEAST_RANGE)
    share = np.clip(4 * (scores[..., lids] - driver.neutral[lids]) / travel - 1, 0.0, 1.0)
    result[..., lids] += share * (scores[..., lids] - calm[..., lids])
    return result


def carry_gaze(scores: np.ndarray, driver: Calibration, names: tuple[str, ...]) -> np.ndarray:
    """[T,E] with the gaze of each eye interpolated over the frames in which its lid hides the iris."""
    result = scores.astype(np.float64)
    frames = np.arange(len(scores))
    for side in ("Left", "Right"):
        if f"eyeBlink{side}" not in names:
            continue
        lid = names.index(f"eyeBlink{side}")
        travel = max(float(driver.high[lid] - driver.neutral[lid]), LEAST_RANGE)
        seen = (scores[:, lid] - driver.neutral[lid]) / travel < NO_GAZE
        if seen.any():
            for channel in (i for i, name in enumerate(names) if name.startswith("eyeLook") and name.endswith(side)):
                result[:, channel] = np.interp(frames, frames[seen], result[seen, channel])
    return result
