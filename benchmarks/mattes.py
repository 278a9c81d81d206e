"""Edge error of mattes on pictures with known alpha, and CPU milliseconds a picture.

    python benchmarks/mattes.py --scan ../shared/scans/facelift_sample_000 [--synth ../shared/synth/capture] [--sizes 256 320]

The views of a scan are laid over three walls (plain, dark, colorful); of a synthetic capture every 14th frame is taken. The
edge error is the mean of |alpha - truth| within 12 px of the border at 512 px.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options
from pipelines.capture.mattes.crop_squares import region
from pipelines.capture.mattes.person import REGION_PX, MatteSettings, matting
from pipelines.capture.mattes.temporal import border_of
from pipelines.face.tracker import FaceTracker
from pipelines.media.squares import cut_square
from pipelines.media.video import read_frames

Picture = tuple[str, np.ndarray, np.ndarray]
"""Name of the kind, uint8 [512,512,3] around the head, its alpha in 0..1."""


def walls(size: int) -> dict[str, np.ndarray]:
    y, x = np.mgrid[:size, :size] / size
    colors = np.random.default_rng(0).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    return {
        "plain": np.full((size, size, 3), 190.0), "dark": np.full((size, size, 3), 35.0) + 20 * x[..., None],
        "colorful": cv2.resize(colors, (size, size), interpolation=cv2.INTER_CUBIC).astype(float) * (0.7 + 0.3 * y[..., None]),
    }  # fmt: skip


def of_scan(folder: Path, tracker: FaceTracker) -> Iterator[Picture]:
    for path in sorted((folder / "images").glob("*.png")):
        stored = np.array(Image.open(path)).astype(float)
        color, alpha = stored[..., :3], stored[..., 3:] / 255
        face = tracker.track((color * alpha + 190 * (1 - alpha)).astype(np.uint8))
        if face is not None:
            box = region(face.points)
            for name, wall in walls(stored.shape[0]).items():
                image = (color * alpha + wall * (1 - alpha)).clip(0, 255).astype(np.uint8)
                truth = cut_square((alpha[..., 0] * 255).astype(np.uint8), box, REGION_PX)
                yield name, cut_square(image, box, REGION_PX), truth / 255.0


def of_synth(folder: Path, tracker: FaceTracker, step: int = 14) -> Iterator[Picture]:
    masks = sorted((folder / "masks_person").glob("*.png"))
    for frame in read_frames(folder / "capture.mp4", indices=set(range(0, len(masks), step))):
        face = tracker.track(frame.image)
        if face is not None:
            box = region(face.points)
            alpha = np.array(Image.open(masks[frame.index]).convert("L"))
            yield "synthetic", cut_square(frame.image, box, REGION_PX), cut_square(alpha, box, REGION_PX) / 255.0


def edge_error(alpha: np.ndarray, truth: np.ndarray) -> float:
    rim = border_of(np.round(truth * 255).astype(np.uint8))
    return float(np.abs(alpha - truth)[rim].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scan", type=Path)
    parser.add_argument("--synth", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[384])
    options(parser)
    asked = parser.parse_args()
    run = Run.of("mattes", asked)
    with FaceTracker(video=False) as tracker:
        pictures = list(of_scan(asked.scan, tracker)) if asked.scan else []
        pictures += of_synth(asked.synth, tracker) if asked.synth else []
    kinds = list(dict.fromkeys(name for name, *_ in pictures))
    figures: dict[str, Any] = {"pictures": len(pictures)}
    plain = MatteSettings(refine=False)
    rows = {f"{size} px": replace(plain, refine=True, refine_px=size) for size in asked.sizes}
    for title, settings in ({"the mask as it is": plain} | rows).items():
        matte = matting(settings)
        matte(pictures[0][1])
        start = time.process_time()
        found = [matte(image) for _, image, _ in pictures]
        spent = 1000 * (time.process_time() - start) / len(pictures)
        errors = [edge_error(alpha, truth) for alpha, (*_, truth) in zip(found, pictures, strict=True)]
        named = [(name, error) for error, (name, *_) in zip(errors, pictures, strict=True)]
        edge = {kind: float(np.mean([error for name, error in named if name == kind])) for kind in kinds}
        figures[title] = {"edge_error": {**edge, "mean": float(np.mean(errors))}, "cpu_ms": spent}
    headline = {f"edge error, {title}": f"{title}.edge_error.mean" for title in figures if title != "pictures"}
    run.finish(figures, headline=headline, inputs=[folder for folder in (asked.scan, asked.synth) if folder])


if __name__ == "__main__":
    main()
