"""Cameras of the capture against known ones: share registered, errors of rotation, center and focal length, alignment, seconds.

    python benchmarks/cameras.py OUT [--worlds orbit_room,orbit_room_barrel,turn_room,synth,demo,facelift] [--frames 60]

Films of the scanned head are rendered into OUT first (tests/worlds_scan.py), `barrel` and `cushion` through a lens of k1 -0.08
and 0.08; `synth` and `facelift` are files of ../shared, and the demo clip is the program's own. Each is captured with the usual
settings, and the cameras in its transforms.json are laid over the truth by one similarity transform. A repeated call takes
finished captures as they are. For COLMAP's models with many seeds see `camera_seeds.py`.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options  # noqa: E402
from benchmarks.truth import Truth, errors, truth_of  # noqa: E402

WORLDS = (
    "orbit_room", "orbit_room_barrel", "orbit_room_cushion", "turn_room", "orbit_wall", "synth", "demo", "facelift"
)  # fmt: skip


def measured(name: str, truth: Truth, out: Path) -> dict[str, Any]:
    """Figures of one clip; the capture lies in OUT/NAME.capture."""
    from pipelines.capture import capture
    from pipelines.core.errors import AvatarError

    start = time.perf_counter()
    try:
        folder = capture(truth.clip, out / f"{name}.capture").out
    except AvatarError as failure:
        return {"refused": str(failure)}
    seconds = time.perf_counter() - start
    record = json.loads((folder / "transforms.json").read_text())
    known = json.loads((folder / "capture.json").read_text())
    rows = np.array([frame["source_index"] for frame in record["frames"]])
    poses = np.array([frame["transform_matrix"] for frame in record["frames"]]) @ np.diag([1.0, -1.0, -1.0, 1.0])
    off = errors(np.linalg.inv(poses), truth.camera_from_head[rows])
    return {
        "method": known["camera"]["method"], "frames": len(rows), "of": len(truth.camera_from_head),
        "rotation_deg": {"median": float(np.median(off.rotation_deg)), "max": float(off.rotation_deg.max())},
        "center_percent": {"median": 100 * float(np.median(off.center)), "max": 100 * float(off.center.max())},
        "focal_percent": 100 * (known["camera"]["focal_px"] / truth.focal_px - 1), "alignment": known["alignment"],
        "seconds": seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--frames", type=int, default=60)
    options(parser)
    given = parser.parse_args()
    run = Run.of("cameras", given)
    given.out.mkdir(parents=True, exist_ok=True)
    truths = {name: truth_of(name, given.out, given.frames) for name in given.worlds.split(",")}
    figures = {name: measured(name, truth, given.out) for name, truth in truths.items()}
    solved = [name for name in figures if "refused" not in figures[name]][:6]
    headline = {f"{name}, deg off": f"{name}.rotation_deg.median" for name in solved}
    run.finish(figures, headline=headline, inputs=[truth.clip for truth in truths.values() if truth.clip.is_file()])


if __name__ == "__main__":
    main()
