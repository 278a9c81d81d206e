"""What a capture is worth: figures, and sentences a person can act on."""

from typing import Any

import numpy as np

from pipelines.artifacts.crops import Crops
from pipelines.capture.cameras.candidate import Candidate, view_angles
from pipelines.capture.dataset.alignment import Alignment
from pipelines.capture.frames.scan import REASONS, Scan
from pipelines.capture.mattes.person import Mattes


def figures_of(seen: Scan, used: Scan, crops: Crops) -> dict[str, Any]:
    """Counts of kept and dropped frames, range of views (2nd to 98th percentile), size and light of the face."""
    counts = np.bincount(seen.reason, minlength=len(REASONS) + 1)
    low, high = np.percentile(view_angles(crops.camera_from_head), [2, 98], axis=0)
    return {
        "frames_looked_at": len(seen.index), "frames_kept": len(used.index),
        "dropped": {reason: int(count) for reason, count in zip(REASONS, counts[1:], strict=True) if count},
        "yaw_deg": [round(float(low[0]), 1), round(float(high[0]), 1)],
        "pitch_deg": [round(float(low[1]), 1), round(float(high[1]), 1)],
        "crop_side_px": round(float(np.median(crops.box[:, 2])), 1),
        "brightness": round(float(np.median(used.brightness)), 1),
        "brightness_drift": round(float(np.ptp(np.percentile(used.brightness, [5, 95]))), 1),
    }  # fmt: skip


def of_cameras(solved: Candidate, aligned: Alignment, mattes: Mattes) -> dict[str, Any]:
    return {
        "camera": solved.method, "focal_px": round(solved.focal_px, 1),
        "landmark_error_px": round(float(np.median(solved.error_px)), 2),
        "pose_failed": int(np.sum(solved.confidence == 0)), "alignment_rms_mm": round(1000 * aligned.rms_m, 2),
        "matte_confidence": round(mattes.confidence_median, 3),
    }  # fmt: skip


def sentences(figures: dict[str, Any]) -> list[str]:
    """What the person could film better next time; empty for a good capture."""
    low, high = figures["yaw_deg"]
    looked_at, dropped = figures["frames_looked_at"], figures["dropped"]
    checks = [
        (
            high - low < 40,
            f"The head is seen from {low:.0f} to {high:.0f} degrees only: what lies beyond is guessed; "
            "turn slowly to both sides while filming.",
        ),
        (
            figures["crop_side_px"] < 220,
            f"The head fills only {figures['crop_side_px']:.0f} pixels; come closer to the camera.",
        ),
        (figures["brightness"] < 60, "The face is dark; film in brighter, even light."),
        (figures["brightness_drift"] > 50, "The light on the face changes much; lock the exposure and keep the lights still."),
        (dropped.get("blurred", 0) > 0.2 * looked_at, "Many frames are blurred; move more slowly or film in more light."),
        (
            dropped.get("another face", 0) > 0.03 * looked_at,
            "A second face was in view and was left out; film one person alone.",
        ),
        (figures["matte_confidence"] < 0.6, "Hair and background are hard to tell apart; film before a plain, different wall."),
        (figures["alignment_rms_mm"] > 8, "The head's shape was hard to measure; look at overlay.png before training."),
    ]
    return [text for wrong, text in checks if wrong]
