"""Reading, following the face, and the person's mask, frame by frame: frames a second and CPU seconds a frame.

    python benchmarks/ingest.py clip.mp4 [--frames 300] [--hdr hlg]

Decoding runs ahead in another thread, as in `capture`. `--hdr` first makes a 10-bit HEVC copy of the clip. CPU seconds count
all threads of this process: C idle cores can do at most C / (CPU seconds a frame) frames a second.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options
from pipelines.face.tracker import FaceTracker, without_chatter
from pipelines.media.video import VideoFrame, ahead, probe, read_frames

TRANSFERS = {"hlg": "arib-std-b67", "pq": "smpte2084"}


def hdr_copy(clip: Path, kind: str, folder: Path, count: int) -> Path:
    """The clip as 10-bit HEVC with the transfer of a phone."""
    from imageio_ffmpeg import get_ffmpeg_exe

    tags = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
    to = f"zscale=p=bt2020:t={TRANSFERS[kind]}:m=bt2020nc:r=limited:npl=203,format=yuv420p10le"
    out = folder / f"{clip.stem}.{kind}.mov"
    encoder = ["-c:v", "libx265", "-preset", "veryfast", "-x265-params", "log-level=none", "-tag:v", "hvc1"]
    command = [get_ffmpeg_exe(), "-v", "error", "-i", str(clip), "-frames:v", str(count), "-an", "-vf", f"{tags},{to}"]
    subprocess.run([*command, *encoder, str(out)], check=True)
    return out


def mask() -> Callable[[np.ndarray], np.ndarray]:
    """The person's mask of mediapipe's segmentation, 256 pixels."""
    from mediapipe.python.solutions.selfie_segmentation import SelfieSegmentation

    with without_chatter():
        model: Any = SelfieSegmentation(model_selection=0)
        model.process(np.zeros((64, 64, 3), np.uint8))
    return lambda image: model.process(cv2.resize(image, (256, 256), interpolation=cv2.INTER_AREA)).segmentation_mask


def timed(work: Callable[[VideoFrame], object], frames: Iterator[VideoFrame]) -> dict[str, float]:
    """Frames a second, CPU milliseconds a frame, and what idle cores could do at most."""
    wall, cpu = time.perf_counter(), time.process_time()
    count = sum(1 for frame in frames if work(frame) is not None)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    most = (os.cpu_count() or 1) * count / cpu
    return {"frames": count, "rate_hz": count / wall, "cpu_ms": 1000 * cpu / count, "most_hz": most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--hdr", choices=list(TRANSFERS))
    parser.add_argument("--longest", type=int, default=1920)
    options(parser)
    asked = parser.parse_args()
    run = Run.of(f"ingest-{asked.hdr}" if asked.hdr else "ingest", asked)
    with tempfile.TemporaryDirectory() as folder:
        clip = hdr_copy(asked.clip, asked.hdr, Path(folder), asked.frames) if asked.hdr else asked.clip
        info = probe(clip)
        figures: dict[str, Any] = {"clip": f"{info.width}x{info.height} {info.codec} {info.transfer}"}

        def frames() -> Iterator[VideoFrame]:
            return itertools.islice(ahead(read_frames(clip, longest_side_px=asked.longest)), asked.frames)

        segment = mask()
        with FaceTracker(video=True, largest=True) as tracker:
            figures["read"] = timed(lambda frame: frame, frames())
            figures["read and track"] = timed(lambda frame: tracker.track(frame.image), frames())

            def all_of_it(frame: VideoFrame) -> object:
                segment(frame.image)
                return tracker.track(frame.image)

            figures["read, track and mask"] = timed(all_of_it, frames())
    headline = {
        "CPU ms read": "read.cpu_ms",
        "and tracked": "read and track.cpu_ms",
        "and masked": "read, track and mask.cpu_ms",
    }
    run.finish(figures, headline=headline, inputs=[asked.clip])


if __name__ == "__main__":
    main()
