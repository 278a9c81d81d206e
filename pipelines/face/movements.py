"""What a face was filmed doing: how strongly each frame shows each movement, in how many frames, and what nobody filmed.

Notable choices: a strength is measured over the person's rest, and 1 is a full movement. Lids count by how much of the resting
gap is gone, so that narrow eyes shut as well as wide ones; lips by their gap over the mouth's width, because the rest of
somebody who talks all the time is an open mouth. One wild frame between others shows nothing: a frame counts at most twice its
stronger neighbor. Turned heads count less, since the far half of a face is the tracker's guess.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.face.channels import PAIRED
from pipelines.face.expression import MEASURED, OPPOSITE, align_to_canonical, calibrate, measure_expression
from pipelines.geometry.angles import turn_and_nod_deg

LIPS = "lipsShut"
"""Beside the ARKit names: 1 where the lips touch, 0 where they are a tenth of the mouth's width apart or more."""
TURNS = ("headLeft", "headRight")
"""Degrees by which the head is turned to the person's left and right."""
SHUT = PAIRED["eyeBlink"].rest
"""Score of lids without a gap."""
OPEN_LIPS = 0.1
FULL_DEG, NONE_DEG = 30.0, 45.0
"""Turns and nods up to which a face counts fully, and from which on not at all."""
NEAR_S = 0.075
"""Frames further apart are no neighbors: a blink may come and go between them."""


@dataclass(frozen=True)
class Movement:
    name: str
    signals: tuple[str, ...]
    """Names of `strengths`; their mean tells."""
    least: float
    """The strength from which on a frame shows the movement."""
    shows: str
    """What no frame shows where it is missing."""
    do: str = ""
    """What to do in front of the camera; empty where other advice says so."""
    unit: str = "%"


BLINK, GAZE = "shut both eyes for a second", "look left, right, up and down with the eyes alone"
MOVEMENTS = (
    Movement("left eye shut", ("eyeBlinkLeft",), 0.6, "a shut left eye", BLINK),
    Movement("right eye shut", ("eyeBlinkRight",), 0.6, "a shut right eye", BLINK),
    Movement("mouth open", ("jawOpen",), 0.35, "an open mouth", "open your mouth wide"),
    Movement("lips shut", (LIPS,), 0.8, "shut lips", 'say "mama" once or twice'),
    Movement("smile", ("mouthSmileLeft", "mouthSmileRight"), 0.5, "a smile", "smile broadly"),
    Movement("pucker", ("mouthPucker",), 0.4, "puckered lips", "pucker your lips"),
    Movement("brows up", ("browInnerUp", "browOuterUpLeft", "browOuterUpRight"), 0.35, "raised brows", "raise your brows"),
    Movement("brows down", ("browDownLeft", "browDownRight"), 0.3, "a frown", "frown"),
    Movement("look left", ("eyeLookOutLeft", "eyeLookInRight"), 0.35, "a look to the left", GAZE),
    Movement("look right", ("eyeLookInLeft", "eyeLookOutRight"), 0.35, "a look to the right", GAZE),
    Movement("look up", ("eyeLookUpLeft", "eyeLookUpRight"), 0.3, "a look up", GAZE),
    Movement("look down", ("eyeLookDownLeft", "eyeLookDownRight"), 0.45, "a look down", GAZE),
    Movement("head to the left", ("headLeft",), 25.0, "the head turned left", unit="degrees"),
    Movement("head to the right", ("headRight",), 25.0, "the head turned right", unit="degrees"),
)  # fmt: skip
"""Left and right are the person's."""
TOGETHER = {BLINK: "shut eyes", GAZE: "a look to any side"}
"""What no frame shows where all movements with one thing to do are missing."""


@dataclass(frozen=True)
class Faces:
    """What is measured of T faces, in the order of time."""

    time_s: np.ndarray
    scores: np.ndarray
    """[T,27] raw scores of the measured space."""
    lip_gap: np.ndarray
    """[T] between the inner lips, over the mouth's width."""
    turn_deg: np.ndarray
    """[T,2] turn to the person's left and nod, as a camera sees them."""

    @classmethod
    def of(cls, points: np.ndarray, time_s: np.ndarray, canonical: np.ndarray) -> "Faces":
        """Of landmarks [T,478,3] px."""
        turns = [turn_and_nod_deg(align_to_canonical(one, canonical)[1]) for one in points]
        scores = [measure_expression(one, canonical) for one in points]
        return cls(
            np.asarray(time_s, float), np.reshape(scores, (-1, len(MEASURED))), lip_gap(points), np.reshape(turns, (-1, 2))
        )


def lip_gap(points: np.ndarray) -> np.ndarray:
    """[...] of landmarks [...,478,2 or 3]: the gap between the inner lips over the mouth's width."""
    upper, lower, right, left = (points[..., index, :2] for index in (13, 14, 61, 291))
    return np.linalg.norm(upper - lower, axis=-1) / np.maximum(np.linalg.norm(left - right, axis=-1), 1e-6)


def strengths(faces: Faces, rest: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """[T] by ARKit name, LIPS and TURNS: how strongly each face shows it, as far as face and neighbors can be trusted.

    `rest` [27] is the person's; without it, that of these faces.
    """
    turn, nod = faces.turn_deg.T
    away = np.maximum(np.abs(turn), np.abs(nod - np.median(nod))) if len(nod) else turn
    trust = np.clip((NONE_DEG - away) / (NONE_DEG - FULL_DEG), 0.0, 1.0)
    if rest is None and len(turn):
        rest = calibrate(faces.scores, trust == 1 if (trust == 1).any() else np.ones(len(turn), bool)).neutral
    values = _over_rest(faces.scores, np.zeros(len(MEASURED)) if rest is None else rest)
    values[LIPS] = 1 - faces.lip_gap / OPEN_LIPS
    values = {name: trust * value for name, value in values.items()} | dict(zip(TURNS, (turn, -turn), strict=True))
    return {name: supported(value, faces.time_s) for name, value in values.items()}


def _over_rest(scores: np.ndarray, rest: np.ndarray) -> dict[str, np.ndarray]:
    """[T] by ARKit name; opposites are names of their own, gaze counts while the eyes are open."""
    values = dict(zip(MEASURED, np.asarray(scores - rest, float).T, strict=True))
    values |= {OPPOSITE[name]: -values[name] for name in MEASURED if name in OPPOSITE}
    for name in ("eyeBlinkLeft", "eyeBlinkRight"):
        values[name] = values[name] / max(SHUT - float(rest[MEASURED.index(name)]), 0.3)
    sees = np.maximum(values["eyeBlinkLeft"], values["eyeBlinkRight"]) < 0.5
    return {name: value * sees if name.startswith("eyeLook") else value for name, value in values.items()}


def supported(value: np.ndarray, time_s: np.ndarray) -> np.ndarray:
    """`value` [T], at least 0, and at most twice the stronger neighbor's; where frames are too far apart, as it is."""
    value = np.maximum(value, 0.0)
    step = np.diff(time_s)
    if len(value) < 2 or np.median(step) > NEAR_S:
        return value
    near = step <= NEAR_S
    before, after = np.append(0.0, value[:-1] * near), np.append(value[1:] * near, 0.0)
    return np.minimum(value, 2 * np.maximum(before, after))


def movement_strength(movement: Movement, signals: dict[str, np.ndarray]) -> np.ndarray:
    """[T] of one movement, from `strengths`."""
    return np.mean([signals[name] for name in movement.signals], axis=0)


@dataclass(frozen=True)
class Filmed:
    """How often and how strongly one movement was filmed."""

    movement: Movement
    rows: np.ndarray
    """Of the faces that show it."""
    strongest: float
    best: int
    """The row of the strongest; -1 where there are no faces."""

    def record(self) -> dict[str, str | int]:
        """Its name, and the greatest strength in its unit."""
        unit = self.movement.unit
        return {"movement": self.movement.name, "strongest": round((100 if unit == "%" else 1) * self.strongest), "unit": unit}


def movement_table(signals: dict[str, np.ndarray]) -> list[Filmed]:
    """A row for each of MOVEMENTS, from `strengths`."""
    result = []
    for movement in MOVEMENTS:
        value = movement_strength(movement, signals)
        best = int(np.argmax(value)) if len(value) else -1
        rows = np.flatnonzero(value >= movement.least)
        result.append(Filmed(movement, rows, float(value[best]) if len(value) else 0.0, best))
    return result


def missing_sentence(table: Sequence[Filmed], without: Sequence[str] = ()) -> str:
    """What no frame shows and what to do about it; empty where nothing is missing but what `without` names."""
    missing = [row.movement for row in table if not len(row.rows) and row.movement.do and row.movement.name not in without]
    if not missing:
        return ""
    todo = list(dict.fromkeys(one.do for one in missing))
    shows = [part for do in todo for part in _lacking(do, [one.shows for one in missing if one.do == do])]
    return f"No frame shows {enumeration(shows, 'or')}; {enumeration(todo, 'and')}."


def _lacking(do: str, shows: list[str]) -> list[str]:
    """One name for all movements with one thing to do, where all are missing."""
    every = len(shows) == sum(movement.do == do for movement in MOVEMENTS)
    return [TOGETHER[do]] if do in TOGETHER and every else shows


def enumeration(parts: Sequence[str], last: str) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return f" {last} ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def face_picture(image: np.ndarray, points: np.ndarray, size: int = 96) -> np.ndarray:
    """uint8 [size,size,3] around the landmarks [478,3] px of an RGB image [H,W,3]; black beyond its border."""
    import cv2

    low, high = points[:, :2].min(0), points[:, :2].max(0)
    half = max(1, round(0.625 * float((high - low).max())))
    (x, y), (height, width) = ((low + high) / 2).round().astype(int), image.shape[:2]
    inside = image[max(y - half, 0) : y + half, max(x - half, 0) : x + half]
    if not inside.size:
        return np.zeros((size, size, 3), np.uint8)
    edges = [max(half - y, 0), max(y + half - height, 0), max(half - x, 0), max(x + half - width, 0)]
    square = cv2.copyMakeBorder(inside, *edges, borderType=cv2.BORDER_CONSTANT)
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA)
