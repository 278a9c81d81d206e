"""Tracks and Live Link Face files for tests."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from pipelines.face.expression import ARKIT_52, MEASURED
from pipelines.face.livelink import ANGLES
from pipelines.face.track import Track

FRONT = np.diag([1.0, -1.0, -1.0])


def moving(count: int = 60, rate_hz: float = 30.0, seed: int = 0, names: tuple[str, ...] = MEASURED) -> Track:
    """A measured track of smooth random scores, some below 0, and a head that nods and turns."""
    random, times = np.random.default_rng(seed), np.arange(count) / rate_hz
    phase, speed = random.uniform(0, 6, len(names)), random.uniform(1, 8, len(names))
    scores = 0.3 + 0.5 * np.sin(times[:, None] * speed + phase)
    angles = np.column_stack([0.3 * np.sin(times), 0.1 * np.cos(2 * times), 0.05 * np.sin(3 * times)])
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = FRONT @ Rotation.from_euler("YXZ", angles).as_matrix()
    poses[:, :3, 3] = np.column_stack([0.1 * np.sin(times), 0.05 * times, 2.5 + 0.1 * times])
    return Track(
        space="measured", names=names, rate_hz=rate_hz, times_s=times, expression=scores.astype(np.float32),
        world_from_head=poses, confidence=np.ones(count), valid=np.ones(count, bool),
    )  # fmt: skip


def iphone_csv(path: Path, timecodes: Sequence[str], jaw: Sequence[float], seen: Sequence[bool] | None = None) -> Path:
    """A CSV as the app writes it, all shapes 0.1 but the jaw."""
    header = ["Timecode", "BlendshapeCount", *(name[0].upper() + name[1:] for name in ARKIT_52), *ANGLES]
    lines = [",".join(header)]
    for row, (code, value) in enumerate(zip(timecodes, jaw, strict=True)):
        shapes = [str(value) if name == "jawOpen" else "0.1" for name in ARKIT_52]
        count = "61" if seen is None or seen[row] else "0"
        lines.append(",".join([code, count, *shapes, *["0.0"] * len(ANGLES)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def codes(times_s: np.ndarray, rate: float = 60.0, start: str = "10:00:00") -> list[str]:
    """Timecodes from `start` on."""
    hours, minutes, seconds = map(int, start.split(":"))
    zero, result = 3600 * hours + 60 * minutes + seconds, []
    for time_s in times_s:
        whole = int(np.floor(time_s + 1e-9))
        total, frames = zero + whole, (time_s - whole) * rate
        result.append(f"{total // 3600 % 24:02d}:{total // 60 % 60:02d}:{total % 60:02d}:{frames:06.3f}")
    return result
