"""Frames worth training on: sharp, well lit frames of every stretch of time, and of every view and expression.

Notable choices: most frames are the best of equal stretches of time, because whatever follows points from frame to frame wants
neighbors; the rest are those whose view or expression is furthest from all that was chosen.
"""

import numpy as np

from pipelines.capture.frames.scan import REASONS, FrameSettings, Scan, is_long_enough, reason_code
from pipelines.core.errors import UnusableMaterial
from pipelines.face.channels import channel_names
from pipelines.face.expression import align_to_canonical, measure_expression
from pipelines.geometry.angles import turn_and_nod_deg

VIEW_STEP, EXPRESSION_STEP = 10.0, 0.25
"""Degrees, and share of a full expression, that make a frame different enough to be kept for it."""
TOLD_BY = ("jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "mouthSmileLeft", "mouthPucker", "browInnerUp", "browDownLeft")
"""Channels by which expressions are told apart, where the measured space has them."""


def select_frames(
    seen: Scan, settings: FrameSettings, name: str, canonical: np.ndarray | None = None, still: bool = False
) -> np.ndarray:
    """Rows of the scan, in order: the best of equal stretches of the usable frames, and the most different of the others.

    Without `canonical` landmarks [478,3] views and expressions are not told apart: all rows are for their time.
    UnusableMaterial, with what to film, when the face is never seen, or too few or too short.
    """
    usable = seen.usable
    check_enough(seen, settings, name, still)
    if len(usable) <= settings.max_frames:
        return usable
    value = worth(seen)
    kept = best_of_stretches(usable, value, settings.max_frames)
    if canonical is None:
        return kept
    variety = np.stack([looks_like(points, canonical) for points in seen.points[usable]])
    base = np.searchsorted(usable, best_of_stretches(usable, value, round(settings.max_frames * (1 - settings.varied))))
    sharp = value[usable] >= 0.8 * np.median(value[usable])
    extra = furthest(variety, base, np.flatnonzero(sharp), settings.max_frames - len(base))
    if not len(extra):
        return kept
    rows = np.union1d(base, extra)
    rest = np.setdiff1d(np.searchsorted(usable, kept), rows)
    fill = rest[np.linspace(0, len(rest) - 1, settings.max_frames - len(rows)).round().astype(int)] if len(rest) else rest
    return usable[np.union1d(rows, fill)]


def best_of_stretches(usable: np.ndarray, value: np.ndarray, count: int) -> np.ndarray:
    """The row of the greatest `value` [T] in each of `count` equal parts of the `usable` rows."""
    parts = np.array_split(usable, min(count, len(usable)))
    return np.array([part[np.argmax(value[part])] for part in parts])


def worth(seen: Scan) -> np.ndarray:
    """[T] sharpness, less where the face is lit unlike in the other frames: half of it at 0.42 stops from their median."""
    usual = max(float(np.median(seen.brightness[seen.usable])), 1.0)
    stops = np.log2(np.maximum(seen.brightness, 1.0) / usual)
    return seen.sharpness * np.exp(-0.5 * (stops / 0.36) ** 2)


def looks_like(points: np.ndarray, canonical: np.ndarray) -> np.ndarray:
    """float64 [2 + K] of one face's [478,3] points: its turn and its expression, in steps that make a difference."""
    turn = align_to_canonical(points, canonical)[1]
    yaw, pitch = turn_and_nod_deg(turn)
    names = channel_names()
    scores = measure_expression(points, canonical)[[names.index(name) for name in TOLD_BY if name in names]]
    return np.concatenate([[yaw / VIEW_STEP, pitch / VIEW_STEP], np.clip(scores, -0.5, 1.5) / EXPRESSION_STEP])


def furthest(variety: np.ndarray, chosen: np.ndarray, allowed: np.ndarray, count: int) -> np.ndarray:
    """Rows of `allowed` that are each furthest (maximum norm) from everything chosen so far, while that is more than a step."""
    near = np.full(len(variety), np.inf)
    for row in chosen:
        near = np.minimum(near, np.abs(variety - variety[row]).max(axis=1))
    result: list[int] = []
    while len(result) < count and len(allowed):
        best = int(allowed[np.argmax(near[allowed])])
        if near[best] <= 1.0:
            break
        result.append(best)
        near = np.minimum(near, np.abs(variety - variety[best]).max(axis=1))
    return np.array(result, int)


def check_enough(seen: Scan, settings: FrameSettings, name: str, still: bool = False) -> None:
    """UnusableMaterial when the face is not seen often and long enough."""
    usable = seen.usable
    if len(seen.reason) and np.all(seen.reason == reason_code("black")):
        raise UnusableMaterial(f"every frame of {name} is black; film again with the lens uncovered and some light.")
    if np.all(np.isin(seen.reason, [reason_code("no face"), reason_code("black")])):
        raise UnusableMaterial(
            f"no face was found in {name}; film one person from the chest up, facing the camera, in even light, for 10 to 30 s."
        )
    if still and len(usable) < settings.min_photos:
        raise UnusableMaterial(
            f"{name} shows a usable face in {_count(usable, 'photo')}{_main_reason(seen)}; at least {settings.min_photos} are "
            "needed, take 20 to 60 of one person from all sides the avatar is to be seen from, with one expression."
        )
    if still:
        return
    times = seen.time_s[usable]
    span = float(np.ptp(times) + np.median(np.diff(times))) if len(usable) > 1 else 0.0
    if not is_long_enough(settings, len(usable), span):
        raise UnusableMaterial(
            f"{name} shows a usable face in {_count(usable, 'frame')} over {span:.1f} s{_main_reason(seen)}; at least "
            f"{settings.min_frames} frames over {settings.min_span_s:g} s are needed; film 10 to 30 seconds."
        )


def _count(rows: np.ndarray, name: str) -> str:
    return f"{len(rows)} {name}{'' if len(rows) == 1 else 's'}"


def _main_reason(seen: Scan) -> str:
    counts = np.bincount(seen.reason, minlength=len(REASONS) + 1)[1:]
    return f" ({counts.max()} frames dropped: {REASONS[int(np.argmax(counts))]})" if counts.any() else ""
