"""Frames worth training on: sharp, well lit frames of every stretch of time, and of every view and expression.

Notable choices: most frames are the best of equal stretches of time, because whatever follows points from frame to frame wants
neighbors. Of the rest the first are those that show a movement most (every channel, both its ends, shut lips), where the best
of their stretches do not show it as strongly: a blink lasts three frames, and they may be a little soft. Then come those whose
view or expression is furthest from all that was chosen.
"""

import numpy as np

from pipelines.capture.frames.scan import REASONS, FrameSettings, Scan, is_long_enough, reason_code
from pipelines.core.errors import UnusableMaterial
from pipelines.face.movements import TURNS, Faces, strengths

VIEW_STEP, EXPRESSION_STEP = 10.0, 0.25
"""Degrees, and share of a full expression, that make a frame different enough to be kept for it."""
STEADY = (
    "jawOpen", "eyeBlinkLeft", "eyeBlinkRight", "lipsShut", "mouthSmileLeft", "mouthSmileRight", "mouthPucker",
    "mouthLowerDownLeft", "mouthLowerDownRight", "browInnerUp", "browDownLeft", "browDownRight", "eyeLookOutLeft",
    "eyeLookInLeft", "eyeLookUpLeft", "eyeLookDownLeft",
)  # fmt: skip
"""Movements by which expressions are told apart; the others are too restless for it."""
OF_EACH = 3
"""Frames that are to show each movement as strongly as it was filmed."""
AS_STRONG, LEAST = 0.85, 0.3
"""Share of the strongest that is as strong; strength from which on a movement is worth a frame."""
ONE_EVENT_S = 0.25
"""Frames nearer than this show one and the same blink."""


def select_frames(
    seen: Scan, settings: FrameSettings, name: str, canonical: np.ndarray | None = None, still: bool = False,
    trained: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Rows of the scan, in order: the best of equal stretches of the usable frames, and what they lack in movements and views.

    Without `canonical` landmarks [478,3] views and expressions are not told apart: all rows are for their time. Frames are
    chosen for a movement only where `trained` [T] bool says that they are trained on, everywhere without it.
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
    faces = Faces.of(seen.points[usable], seen.time_s[usable], canonical)
    signals = strengths(faces)
    base = np.searchsorted(usable, best_of_stretches(usable, value, round(settings.max_frames * (1 - settings.varied))))
    room = settings.max_frames - len(base)
    allowed = np.ones(len(usable), bool) if trained is None else trained[usable]
    rare = lacking_movements(signals, faces.time_s, base, np.flatnonzero(allowed))[:room]
    sharp = value[usable] >= 0.8 * np.median(value[usable])
    rows = np.union1d(base, rare)
    rows = np.union1d(rows, furthest(looks_of(faces, signals), rows, np.flatnonzero(sharp), room - len(rare)))
    if len(rows) == len(base):
        return kept
    rest = np.setdiff1d(np.searchsorted(usable, kept), rows)
    fill = rest[np.linspace(0, len(rest) - 1, settings.max_frames - len(rows)).round().astype(int)] if len(rest) else rest
    return usable[np.union1d(rows, fill)]


def lacking_movements(signals: dict[str, np.ndarray], time_s: np.ndarray, base: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Rows of `allowed` that show a movement as strongly as any, where fewer than OF_EACH of the rows `base` do.

    Movements of which `base` shows the least come first, and of each the strongest frame before all second ones.
    """
    wanted: list[tuple[int, float, int]] = []
    held = np.intersect1d(base, allowed)
    for name, value in signals.items():
        if name in TURNS or not len(allowed) or (peak := float(value[allowed].max())) < LEAST:
            continue
        there = [int(row) for row in held if value[row] >= AS_STRONG * peak]
        share = float(value[held].max()) / peak if len(held) else 0.0
        for number in range(len(there), OF_EACH):
            free = np.setdiff1d(allowed[value[allowed] >= LEAST], there)
            if not len(free):
                break
            again = np.abs(time_s[free][:, None] - time_s[there]).min(1, initial=np.inf) < ONE_EVENT_S
            there.append(int(free[np.argmax(np.where(again, AS_STRONG, 1.0) * value[free])]))
            wanted.append((number, share, there[-1]))
    ordered = [row for _, _, row in sorted(wanted)]
    return np.setdiff1d(np.array(list(dict.fromkeys(ordered)), int), base, assume_unique=True)


def best_of_stretches(usable: np.ndarray, value: np.ndarray, count: int) -> np.ndarray:
    """The row of the greatest `value` [T] in each of `count` equal parts of the `usable` rows."""
    parts = np.array_split(usable, min(count, len(usable)))
    return np.array([part[np.argmax(value[part])] for part in parts])


def worth(seen: Scan) -> np.ndarray:
    """[T] sharpness, less where the face is lit unlike in the other frames: half of it at 0.42 stops from their median."""
    usual = max(float(np.median(seen.brightness[seen.usable])), 1.0)
    stops = np.log2(np.maximum(seen.brightness, 1.0) / usual)
    return seen.sharpness * np.exp(-0.5 * (stops / 0.36) ** 2)


def looks_of(faces: Faces, signals: dict[str, np.ndarray]) -> np.ndarray:
    """float64 [T,2 + K] of faces and their `strengths`: turn, nod and movements, in steps that make a difference."""
    moves = np.stack([np.clip(signals[name], 0.0, 1.5) for name in STEADY], axis=1)
    return np.hstack([faces.turn_deg / VIEW_STEP, moves / EXPRESSION_STEP])


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
