"""Faces people make: expression weights drawn by kind, and what a gaze adds to them."""

import numpy as np

from pipelines.face.ict import FaceModel

KINDS = {
    "neutral": 0.11, "smile": 0.17, "open": 0.13, "open smile": 0.13, "brows": 0.07, "frown": 0.07, "pucker": 0.07,
    "blink": 0.09, "wink": 0.03, "surprise": 0.06, "mix": 0.07,
}  # fmt: skip
LOOK = {
    "eyeLookOut_L": (1, 0), "eyeLookIn_R": (1, 0), "eyeLookOut_R": (-1, 0), "eyeLookIn_L": (-1, 0), "eyeLookUp_L": (0, 1),
    "eyeLookUp_R": (0, 1), "eyeLookDown_L": (0, -1), "eyeLookDown_R": (0, -1),
}  # fmt: skip
"""Sign of gaze yaw and pitch that each shape means."""
WHOLE_LOOK_DEG = (30.0, 25.0)
Parts = dict[str, float | tuple[float, float]]
"""Weight by name without side: one for both sides, or (left, right)."""


def draw_expression(random: np.random.Generator, model: FaceModel, kind: str | None = None) -> np.ndarray:
    """[E] weights in 0..1 of a kind, or of one drawn by lot; gaze shapes stay 0."""
    kind = kind or str(random.choice(list(KINDS), p=list(KINDS.values())))
    weights = np.zeros(len(model.expression_names))
    for name, value in _of_kind(kind, random).items():
        sides = value if isinstance(value, tuple) else (value, value)
        for full, weight in ((name + "_L", sides[0]), (name + "_R", sides[1])):
            weights[model.index(full if full in model.expression_names else name)] = min(weight, 1.0)
    if kind == "mix":
        weights[random.choice(len(weights), 4, replace=False)] = random.uniform(0.1, 0.6, 4)
    if kind != "neutral":
        weights += np.clip(random.normal(-0.05, 0.06, len(weights)), 0, 0.12) * (random.random(len(weights)) < 0.3)
    for name in LOOK:
        weights[model.index(name)] = 0
    return np.clip(weights, 0, 1)


def with_gaze(weights: np.ndarray, gaze: tuple[float, float], model: FaceModel) -> np.ndarray:
    """The weights with the lids' part of a gaze in degrees (to the person's left, up): 30 degrees left is a whole look."""
    out = weights.copy()
    for name, (yaw, pitch) in LOOK.items():
        share = yaw * gaze[0] / WHOLE_LOOK_DEG[0] + pitch * gaze[1] / WHOLE_LOOK_DEG[1]
        out[model.index(name)] = np.clip(share, 0, 1)
    return out


def _of_kind(kind: str, random: np.random.Generator) -> Parts:
    u = random.uniform

    def make_uneven(weight: float) -> tuple[float, float]:
        return weight * u(0.8, 1.1), weight * u(0.8, 1.1)

    parts: Parts = {}
    if kind in ("smile", "open smile"):
        strength = u(0.3, 1)
        parts |= {
            "mouthSmile": make_uneven(strength),
            "cheekSquint": make_uneven(0.6 * strength),
            "eyeSquint": make_uneven(0.5 * strength * u()),
        }
    if kind in ("open", "open smile"):
        parts |= {
            "jawOpen": u(0.08, 0.65 if kind == "open" else 0.4),
            "mouthLowerDown": make_uneven(u(0, 0.7)),
            "mouthUpperUp": make_uneven(u(0, 0.6)),
        }
    if kind == "brows":
        parts = {"browInnerUp": u(0.2, 1), "browOuterUp": u(0, 1)}
    if kind == "frown":
        parts = {"browDown": u(0.4, 1), "mouthFrown": u(0.2, 0.9), "noseSneer": u(0, 0.5), "mouthShrugLower": u(0, 0.5)}
    if kind == "pucker":
        parts = {"mouthPucker" if random.random() < 0.6 else "mouthFunnel": u(0.3, 1), "jawOpen": u(0, 0.2)}
    if kind == "blink":
        parts = {"eyeBlink": 1.0 if random.random() < 0.6 else u(0.3, 1), "mouthSmile": u(0, 0.4)}
    if kind == "wink":
        parts = {"eyeBlink": (1.0, 0.0) if random.random() < 0.5 else (0.0, 1.0), "mouthSmile": u(0, 0.5)}
    if kind == "surprise":
        parts = {"browInnerUp": u(0.5, 1), "browOuterUp": u(0.4, 1), "eyeWide": u(0.3, 1), "jawOpen": u(0.1, 0.6)}
    return parts
