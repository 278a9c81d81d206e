"""Does the finished video do what the driver did? The tracker reads both, and the channels are compared."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.files import read_image
from pipelines.core.stage import Progress
from pipelines.drive.motion.blinks import blinks, closure_of, lateness
from pipelines.drive.motion.retarget import driver_range
from pipelines.drive.motion.track import between
from pipelines.face.expression import MEASURED, Calibration, measure_expression
from pipelines.face.recognition import OwnFaces, align_face, describe
from pipelines.face.track import Track
from pipelines.face.tracker import FaceTracker
from pipelines.media.video import read_frames

WATCHED = {
    "jawOpen": ("jawOpen",), "eyeBlink": ("eyeBlinkLeft", "eyeBlinkRight"), "mouthSmile": ("mouthSmileLeft", "mouthSmileRight"),
    "browInnerUp": ("browInnerUp",),
}  # fmt: skip
LIKENESS_FRAMES = 24
LEAST_MOTION = 0.06
"""Standard deviation a channel of the driver must have for its correlation to mean anything."""


def follow_check(
    output: Path, driver: Track, canonical: np.ndarray, progress: Progress, shape: tuple[int, int] | None = None,
    own: Calibration | None = None, filmed: OwnFaces | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Correlation of driver and finished video by channel (None where the driver hardly moves), share of frames with a face.

    With `own`, the avatar's rest and range, also how many of the driver's blinks are in it, and how late the latest comes. With
    `filmed` also how far the faces of LIKENESS_FRAMES frames are from the person's filmed ones, and these from each other.
    The finished video is always read in the measured space; a driver tracked as blendshapes has the same names. With `shape`
    only a picture of that height and width at the top and the right is looked at: the avatar beside its driver.
    """
    rows, seen, faces = [], [], []
    every = max(1, len(driver.valid) // LIKENESS_FRAMES)
    with FaceTracker(video=True) as tracker, progress.task("checking the result", len(driver.valid)) as task:
        for image in pictures(output):
            shown = image if shape is None else np.ascontiguousarray(image[: shape[0], -shape[1] :])
            face = tracker.track(shown)
            if filmed is not None and face is not None and len(seen) % every == 0:
                faces.append(align_face(shown, face.points))
            seen.append(face is not None)
            rows.append(measure_expression(face.points, canonical) if face is not None else np.zeros(len(MEASURED), np.float32))
            task.advance()
    count = min(len(rows), len(driver.valid))
    both = np.array(seen[:count], bool) & driver.valid[:count]
    found = np.array(rows[:count])[both]
    figures: dict[str, Any] = {"face_seen": float(np.mean(seen)) if seen else 0.0}
    for name, parts in WATCHED.items():
        asked = driver.expression[:count][both][:, [driver.names.index(part) for part in parts]].mean(1)
        figures[name] = correlation(asked, found[:, [MEASURED.index(part) for part in parts]].mean(1))
    if own is not None and driver.names == MEASURED and both.any():
        figures["blinks"] = blinked(driver, np.array(rows[:count]), both, own)
    if filmed is not None:
        figures["identity_distance"] = filmed.distance_of(describe(faces))
        figures["identity_own_frames"] = filmed.between_scenes()
    return figures


def blinked(driver: Track, scores: np.ndarray, both: np.ndarray, own: Calibration) -> dict[str, Any]:
    """Blinks of the driver, those in the finished video's `scores` [T,E], and the frames of the worst delay (or lead).

    Rows [T] that are not seen in `both` are interpolated.
    """
    kept = np.flatnonzero(both)
    asked, found = (
        blinks(between(kept, closure_of(values[both], MEASURED, one), np.arange(len(both))), driver.rate_hz)
        for values, one in ((driver.expression[: len(both)], driver_range(driver, None)), (scores, own))
    )
    late = [one[0] for one in lateness(asked, found) if one is not None]
    return {"asked": len(asked), "found": len(late), "latest_frames": round(max(late, key=abs), 2) if late else None}


def pictures(output: Path) -> Iterator[np.ndarray]:
    """uint8 RGB frames of a video or of a folder of PNG files (over mid gray where transparent)."""
    if not output.is_dir():
        yield from (frame.image for frame in read_frames(output))
        return
    for path in sorted(output.glob("*.png")):
        image = read_image(path)
        if image.shape[2] == 4:
            alpha = image[..., 3:] / 255.0
            image = np.round(image[..., :3] * alpha + 128 * (1 - alpha)).astype(np.uint8)
        yield image


def correlation(asked: np.ndarray, found: np.ndarray) -> float | None:
    """Pearson's r, None with fewer than ten rows or hardly any motion asked for; 0 for an answer that never moves."""
    if len(asked) < 10 or asked.std() < LEAST_MOTION:
        return None
    return float(np.corrcoef(asked, found)[0, 1]) if found.std() > 1e-6 else 0.0
