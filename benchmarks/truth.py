"""Clips with known cameras, and how far cameras are from them."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME))
SHARED = HOME.parent / "shared"
LENSES = {"barrel": -0.08, "cushion": 0.08}
"""k1 of the lenses that films of the scanned head can be seen through."""


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


def errors(estimate: np.ndarray, true: np.ndarray) -> Errors:
    """camera_from_head [N,4,4] against the truth after one similarity: the mean turn, then scale and shift of the centers."""
    from scipy.spatial.transform import Rotation

    ours, theirs = np.linalg.inv(estimate), np.linalg.inv(true)
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


def truth_of(name: str, out: Path, frames: int) -> Truth:
    """The clip of a world's name; films of the scanned head are rendered into `out`, of `frames` pictures."""
    known = {"synth": synth, "demo": demo, "facelift": lambda: facelift(out)}
    return known[name]() if name in known else rendered(name, out, frames)
