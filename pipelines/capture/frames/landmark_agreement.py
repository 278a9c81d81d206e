"""A second opinion on landmarks toward the profile, where mediapipe's bend to the frontal face: FAN of face-alignment.

Where FAN and the mesh disagree about a frame, the frame counts less in training; it is never dropped for that. Without FAN's
weights nothing is asked and the record says so.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.prior import Prior
from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.core.files import read_arrays, read_image, write_arrays
from pipelines.core.stage import Progress
from pipelines.face.alignment_backend import disagreement, fan
from pipelines.face.expression import align_to_canonical

NOT_ASKED = "FAN was not asked: its weights (2DFAN4 or 3DFAN4 of the registry) are not on this machine"


@dataclass(frozen=True, kw_only=True)
class OpinionSettings:
    use_fan: bool = True
    """Ask FAN where its weights are on this machine."""
    from_yaw_deg: float = 30.0
    """Frames turned further than this are asked about."""
    most_frames: int = 24
    """A look costs one to two seconds on a CPU."""
    tolerated: float = 0.06
    """Disagreement over the size of the face at which a frame counts half."""
    least: float = 0.25
    """No frame counts less than this for a disagreement."""


def ask(partial: Path, chosen: Scan, prior: Prior, settings: OpinionSettings, progress: Progress) -> dict[str, Any]:
    """Leave the trust in every frame in work/opinions.npz; figures: what was asked and the answer, in words."""
    trust = np.ones(len(chosen.index))
    look = fan() if settings.use_fan else None
    rows = _turned(chosen, prior, settings) if look is not None else np.zeros(0, int)
    found = []
    with progress.task("second opinion", len(rows)) as task:
        for row in rows:
            points = chosen.points[row]
            (x0, y0), (x1, y1) = points[:, :2].min(0).tolist(), points[:, :2].max(0).tolist()
            assert look is not None
            other = look(read_image(partial / "frames" / f"{frame_name(int(chosen.index[row]))}.jpg"), (x0, y0, x1, y1))
            found.append(disagreement(points, other))
            trust[row] = trusted(found[-1], settings)
            task.advance()
    write_arrays(partial / "work" / "opinions.npz", trust=trust)
    return {"said": NOT_ASKED if look is None else _said(found, settings)}


def trust(partial: Path) -> np.ndarray:
    """[N] in 0..1 of the chosen frames."""
    return read_arrays(partial / "work" / "opinions.npz")["trust"]


def trusted(disagrees: float, settings: OpinionSettings) -> float:
    """1 / (1 + (d / tolerated)^4), not below the least."""
    return max(settings.least, 1 / (1 + (disagrees / settings.tolerated) ** 4))


def _turned(chosen: Scan, prior: Prior, settings: OpinionSettings) -> np.ndarray:
    """Rows of the frames to ask about, evenly among those that are turned far and in which a face was seen."""
    sine = np.array(
        [align_to_canonical(points, prior.landmarks)[1][2, 0] if np.ptp(points) else 0.0 for points in chosen.points]
    )
    rows = np.flatnonzero((np.abs(sine) > np.sin(np.radians(settings.from_yaw_deg))) & (chosen.finder > 0))
    return rows[np.unique(np.linspace(0, len(rows) - 1, settings.most_frames).round().astype(int))] if len(rows) else rows


def _said(found: list[float], settings: OpinionSettings) -> str:
    if not found:
        return f"FAN was not needed: no frame is turned by more than {settings.from_yaw_deg:.0f} degrees"
    worse = sum(value > settings.tolerated for value in found)
    return f"FAN looked at {len(found)} turned frames: {np.median(found):.1%} of the face off (median), {worse} disagree"
