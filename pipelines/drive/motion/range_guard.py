"""How far a driven expression is from what was captured: measured, faded back, flagged, and written down frame by frame.

With m and C the mean and covariance of the expressions the avatar was trained on, the distance of e is
`d(e) = sqrt((e - m)^T C^-1 (e - m)) / d_99`, where d_99 is the 99th percentile of the same root over the training expressions
themselves: 1 is the rim of what was captured. Beyond `fade_from` = a the expression is drawn back to m until its distance is
`a + (b - a) tanh((d - a) / (b - a))`, which never passes `fade_to` = b; lids and gaze are left alone, so that a blink closes.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.artifacts.avatar_record import PAIRS, ExpressionRange, made_by
from pipelines.avatar.view_limits import NOTED_DEG
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, write_text
from pipelines.drive.settings import GuardSettings

SHRINK = 0.2
"""Share of the covariance that is taken as diagonal: hundreds of samples are few for dozens of channels."""
FLOOR = 1e-3
"""Added to the variances: channels that were hardly moved do not rule the distance."""
EDGE = 99.0
COLORS = {"fine": (70, 170, 90), "care": (235, 185, 60), "flagged": (215, 60, 50)}
"""RGB of a frame in the strip."""


@dataclass(frozen=True)
class Captured:
    """The expressions an avatar knows, as an ellipsoid."""

    center: np.ndarray
    inverse: np.ndarray
    """[E,E] of the covariance, over the square of the edge: d = sqrt(x^T inverse x)."""

    def distance(self, expression: np.ndarray) -> np.ndarray:
        """[T]; 1 at the rim."""
        away = np.asarray(expression, np.float64) - self.center
        return np.sqrt(np.maximum(np.einsum("ti,ij,tj->t", away, self.inverse, away), 0.0))


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """Expressions that stay near the captured ones, a row a frame."""

    expression: np.ndarray
    distance: np.ndarray
    """[T] before anything was drawn back."""
    faded: np.ndarray
    """[T] 0..1, share of the way to the mean expression."""
    flagged: np.ndarray
    """[T] bool"""


def captured(avatar: Path, space: ExpressionRange) -> Captured:
    """The ellipsoid of an avatar folder: of its training pairs, or of mean and spread in its record where it has none."""
    path = avatar / PAIRS
    if path.exists():
        return ellipsoid(read_arrays(path, {"expression": f"float [P,{len(space.names)}]"})["expression"])
    if space.mean is None or space.std is None:
        raise UnusableMaterial(f"{path} is missing. Make it with `{made_by(avatar)}`, or copy the avatar again.")
    spread = np.square(np.asarray(space.std, np.float64)) + FLOOR
    edge = np.sqrt(len(spread)) * 1.4  # about the 99th percentile of a chi distribution
    return Captured(np.asarray(space.mean, np.float64), np.diag(1 / spread) / edge**2)


def ellipsoid(rows: np.ndarray) -> Captured:
    """Of expressions [N,E]."""
    rows = np.asarray(rows, np.float64)
    center, covariance = rows.mean(0), np.cov(rows.T).reshape(rows.shape[1], -1)
    shrunk = (1 - SHRINK) * covariance + np.diag(SHRINK * np.diag(covariance) + FLOOR)
    inverse = np.linalg.inv(shrunk)
    edge = np.percentile(Captured(center, inverse).distance(rows), EDGE)
    return Captured(center, inverse / max(edge, 1e-6) ** 2)


def guard(expression: np.ndarray, names: tuple[str, ...], known: Captured, settings: GuardSettings) -> Guarded:
    """Expressions [T,E] drawn back where they are far from what is known."""
    distance = known.distance(expression)
    near, room = settings.fade_from, max(settings.fade_to - settings.fade_from, 1e-6)
    target = np.where(distance > near, near + room * np.tanh((distance - near) / room), distance)
    faded = np.where((distance > near) & settings.fade, 1 - target / np.maximum(distance, 1e-9), 0.0)
    eyes = np.array([name.startswith("eye") for name in names])
    drawn = known.center + (1 - faded[:, None]) * (expression - known.center)
    kept = np.where(eyes, expression, drawn).astype(np.float32)
    return Guarded(expression=kept, distance=distance, faded=faded, flagged=distance > settings.flag_from)


def verdicts(
    states: list[str], clamped: np.ndarray, faded: np.ndarray, flagged: np.ndarray, back_deg: np.ndarray
) -> list[str]:  # fmt: skip
    """`fine`, `care` or `flagged` for every frame.

    Flagged is beyond the capture or not seen; care is clamped, faded, interpolated or turned back (by `back_deg` [T]).
    """
    result = []
    for state, cut, fade, out, back in zip(states, np.asarray(clamped.any(1)), faded, flagged, back_deg, strict=True):
        bad, eased = out or state in ("held", "turned") or state.endswith("covered"), cut or fade > 0.02 or back > NOTED_DEG
        result.append("flagged" if bad else "care" if eased or state != "tracked" else "fine")
    return result


def cell(text: str) -> str:
    """Foreign text that a spreadsheet must not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def write_frames(
    path: Path, times_s: np.ndarray, states: list[str], confidence: np.ndarray, found: Guarded, clamped: np.ndarray,
    names: tuple[str, ...], back_deg: np.ndarray,
) -> None:  # fmt: skip
    """A CSV of one row a frame; `clamped` names the channels that were cut to the avatar's range."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["frame", "time_s", "state", "confidence", "distance", "faded", "clamped", "flagged", "turned_back_deg"])
    marks = verdicts(states, clamped, found.faded, found.flagged, back_deg)
    for row, time_s in enumerate(times_s):
        cut = cell("+".join(name for name, is_cut in zip(names, clamped[row], strict=True) if is_cut))
        numbers = (f"{value:.3f}" for value in (confidence[row], found.distance[row], found.faded[row]))
        writer.writerow(
            [row, f"{time_s:.4f}", states[row], *numbers, cut, int(marks[row] == "flagged"), f"{back_deg[row]:.1f}"]
        )
    write_text(path, stream.getvalue())


def strip(marks: list[str], width: int, height: int) -> np.ndarray:
    """uint8 [height,width,3]: the whole video from left to right, each column the worst of its frames."""
    order = list(COLORS)
    ranks = np.array([order.index(mark) for mark in marks])
    edges = np.linspace(0, len(ranks), width + 1)
    spans = zip(edges[:-1].astype(int), np.ceil(edges[1:]).astype(int), strict=True)
    worst = [ranks[first : max(last, first + 1)].max() for first, last in spans]
    return np.tile(np.array([COLORS[order[rank]] for rank in worst], np.uint8)[None], (height, 1, 1))
