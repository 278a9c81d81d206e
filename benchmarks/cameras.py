"""Cameras of the capture against known ones: share registered, errors of rotation, center and focal length, alignment, seconds.

    python benchmarks/cameras.py OUT [--worlds orbit_room,orbit_room_barrel,turn_room,synth,demo,facelift] [--frames 60]
    python benchmarks/cameras.py OUT --seeds 20 [--views 24] [--ways seeded,grown,at_once]

Films of the scanned head are rendered into OUT first (tests/worlds_scan.py), `barrel` and `cushion` through a lens of k1 -0.08
and 0.08; `synth` and `facelift` are files of ../shared, and the demo clip is the program's own. Each is captured with the usual
settings, and the cameras in its transforms.json are laid over the truth by one similarity transform. A repeated call takes
finished captures as they are.

`--seeds` asks COLMAP for models of some frames of `synth`, with both ways of matching, every way to a model, and so many seeds:
which are accepted, and how wrong they are. The features are found once. A repeated call goes on where the last one stopped.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME))
SHARED = HOME.parent / "shared"
WORLDS = (
    "orbit_room", "orbit_room_barrel", "orbit_room_cushion", "turn_room", "orbit_wall", "synth", "demo", "facelift"
)  # fmt: skip
LENSES = {"barrel": -0.08, "cushion": 0.08}


@dataclass(frozen=True)
class Truth:
    """What is known of a clip: a row a frame of the file."""

    clip: Path
    camera_from_head: np.ndarray
    focal_px: float


@dataclass(frozen=True)
class Errors:
    """Of the accepted frames."""

    rotation_deg: np.ndarray
    center: np.ndarray
    """Over the camera's distance from the head."""


def errors(found: np.ndarray, true: np.ndarray) -> Errors:
    """camera_from_head [N,4,4] against the truth after one similarity: the mean turn, then scale and shift of the centers."""
    from scipy.spatial.transform import Rotation

    ours, theirs = np.linalg.inv(found), np.linalg.inv(true)
    common = Rotation.from_matrix(theirs[:, :3, :3] @ ours[:, :3, :3].transpose(0, 2, 1)).mean().as_matrix()
    off = theirs[:, :3, :3].transpose(0, 2, 1) @ common @ ours[:, :3, :3]
    eyes, goal = ours[:, :3, 3] @ common.T, theirs[:, :3, 3]
    spread, wanted = eyes - eyes.mean(0), goal - goal.mean(0)
    scale = float((spread * wanted).sum() / (spread**2).sum())
    moved = scale * spread + goal.mean(0)
    distance = np.linalg.norm(goal, axis=1)
    return Errors(np.degrees(Rotation.from_matrix(off).magnitude()), np.linalg.norm(moved - goal, axis=1) / distance)


def rendered(name: str, out: Path, frames: int) -> Truth:
    """A film of the scanned head, written once."""
    from pipelines.media.encoder import write_video
    from tests.worlds_scan import film, load_head

    clip, record = out / f"{name}.mp4", out / f"{name}.json"
    if not record.exists():
        motion, backdrop, *lens = name.split("_")
        made = film(
            load_head(SHARED / "scans/lee_perry_smith"), backdrop, "camera" if motion == "orbit" else "head", count=frames,
            lens=LENSES[lens[0]] if lens else 0.0,
        )  # fmt: skip
        write_video(clip, made.images, made.rate_hz)
        record.write_text(json.dumps({"focal_px": made.focal_px, "camera_from_head": made.camera_from_head.tolist()}))
    known = json.loads(record.read_text())
    return Truth(clip, np.array(known["camera_from_head"]), known["focal_px"])


def synth() -> Truth:
    known = json.loads((SHARED / "synth/capture/transforms.json").read_text())
    poses = np.array([frame["w2c_opencv"] for frame in known["frames"]])
    return Truth(SHARED / "synth/capture/capture.mp4", poses, known["fl_x"])


def demo() -> Truth:
    folder = HOME / "avatarcli/demo_clips"
    known = json.loads((folder / "capture.truth.json").read_text())
    poses = np.linalg.inv(np.array([frame["world_from_camera"] for frame in known["frames"]]))
    return Truth(folder / "capture.mp4", poses, known["intrinsics_px"][0][0])


def facelift(out: Path) -> Truth:
    """The turntable over white, as a folder of photos."""
    import cv2

    source = SHARED / "scans/facelift_sample_000"
    known = json.loads((source / "opencv_cameras.json").read_text())["frames"]
    photos = out / "facelift_photos"
    photos.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(known):
        image: Any = cv2.imread(str(source / frame["file_path"]), cv2.IMREAD_UNCHANGED)
        image = image.astype(np.float32) / np.iinfo(image.dtype).max
        over_white = image[..., :3] * image[..., 3:] + 1 - image[..., 3:]
        cv2.imwrite(str(photos / f"{number:04d}.png"), (255 * over_white).round().astype(np.uint8))
    return Truth(photos, np.array([frame["w2c"] for frame in known]), known[0]["fx"])


def measured(name: str, truth: Truth, out: Path) -> str:
    """One row of the table; the capture lies in OUT/NAME.capture."""
    from pipelines.capture import capture
    from pipelines.core.errors import AvatarError

    start = time.perf_counter()
    try:
        folder = capture(truth.clip, out / f"{name}.capture").out
    except AvatarError as failure:
        return f"| {name} | refused: {failure} |"
    seconds = time.perf_counter() - start
    record = json.loads((folder / "transforms.json").read_text())
    known = json.loads((folder / "capture.json").read_text())
    rows = np.array([frame["source_index"] for frame in record["frames"]])
    poses = np.array([frame["transform_matrix"] for frame in record["frames"]]) @ np.diag([1.0, -1.0, -1.0, 1.0])
    off = errors(np.linalg.inv(poses), truth.camera_from_head[rows])
    focal = known["camera"]["focal_px"] / truth.focal_px - 1
    return (
        f"| {name} | {known['camera']['method']} | {len(rows)} of {len(truth.camera_from_head)} "
        f"({len(record['dropped'])} dropped) "
        f"| {np.median(off.rotation_deg):.2f} / {off.rotation_deg.max():.2f} "
        f"| {100 * np.median(off.center):.2f} / {100 * off.center.max():.2f} | {100 * focal:+.1f} "
        f"| {known['alignment']['rms_units']:.4f} | {seconds:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--ways", default="seeded,grown,at_once")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.seeds:
        from benchmarks.camera_seeds import run

        run(synth(), asked.out, asked.seeds, asked.views, asked.ways.split(","))
        return
    print("| clip | cameras | frames | rotation deg median / max | center % median / max | focal % | alignment RMS | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    for name in asked.worlds.split(","):
        known = {"synth": synth, "demo": demo, "facelift": lambda: facelift(asked.out)}
        truth = known[name]() if name in known else rendered(name, asked.out, asked.frames)
        print(measured(name, truth, asked.out), flush=True)


if __name__ == "__main__":
    main()
