"""Whether a second detector agrees with the landmarks toward the profile, where mediapipe's bend to the frontal face: FAN.

Where FAN and the mesh disagree about a frame, the frame counts less in training; it is never dropped for that. Without FAN's
weights nothing is compared and the record says so.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.core.files import read_arrays, read_image, write_arrays
from pipelines.core.stage import Progress
from pipelines.face.alignment_backend import disagreement, fan
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.expression import align_to_canonical

NOT_ASKED = "FAN was not asked: its weights (2DFAN4 or 3DFAN4 of the registry) are not on this machine"
CONFIDENCE = Path("work") / "landmark_agreement.npz"


@dataclass(frozen=True, kw_only=True)
class LandmarkAgreementSettings:
    use_fan: bool = True
    """Compare with FAN where its weights are on this machine."""
    from_yaw_deg: float = 30.0
    """Frames turned further than this are compared."""
    most_frames: int = 24
    """A look costs one to two seconds on a CPU."""
    tolerated: float = 0.06
    """Disagreement over the size of the face at which a frame counts half."""
    least: float = 0.25
    """No frame counts less than this for a disagreement."""


def compare(partial: Path, frames: Scan, settings: LandmarkAgreementSettings, progress: Progress) -> dict[str, Any]:
    """Leave the confidence of every frame for `load_confidence`; figures: what was compared and the answer, in words."""
    confidence, disagreements = np.ones(len(frames.index)), []
    detector = fan() if settings.use_fan else None
    rows = _turned(frames, settings) if detector is not None else np.zeros(0, int)
    with progress.task("second detector", len(rows)) as task:
        for row in rows:
            points = frames.points[row]
            (x0, y0), (x1, y1) = points[:, :2].min(0).tolist(), points[:, :2].max(0).tolist()
            assert detector is not None
            other = detector(read_image(partial / "frames" / f"{frame_name(int(frames.index[row]))}.jpg"), (x0, y0, x1, y1))
            disagreements.append(disagreement(points, other))
            confidence[row] = confidence_at(disagreements[-1], settings)
            task.advance()
    write_arrays(partial / CONFIDENCE, confidence=confidence)
    return {"summary": NOT_ASKED if detector is None else _summary(disagreements, settings)}


def load_confidence(partial: Path) -> np.ndarray:
    """[N] in 0..1 of the frames that were compared."""
    return read_arrays(partial / CONFIDENCE)["confidence"]


def confidence_at(disagrees: float, settings: LandmarkAgreementSettings) -> float:
    """1 / (1 + (d / tolerated)^4), not below the least."""
    return max(settings.least, 1 / (1 + (disagrees / settings.tolerated) ** 4))


def _turned(frames: Scan, settings: LandmarkAgreementSettings) -> np.ndarray:
    """Rows of the frames to compare, evenly among those that are turned far and in which a face was seen."""
    head = canonical_landmarks()
    sine = np.array([align_to_canonical(points, head)[1][2, 0] if np.ptp(points) else 0.0 for points in frames.points])
    rows = np.flatnonzero((np.abs(sine) > np.sin(np.radians(settings.from_yaw_deg))) & (frames.finder > 0))
    return rows[np.unique(np.linspace(0, len(rows) - 1, settings.most_frames).round().astype(int))] if len(rows) else rows


def _summary(disagreements: list[float], settings: LandmarkAgreementSettings) -> str:
    if not disagreements:
        return f"FAN was not needed: no frame is turned by more than {settings.from_yaw_deg:.0f} degrees"
    worse = sum(value > settings.tolerated for value in disagreements)
    median = np.median(disagreements)
    return f"FAN looked at {len(disagreements)} turned frames: {median:.1%} of the face off (median), {worse} disagree"
