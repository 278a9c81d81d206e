"""The invisible mark after encoding again, scaling and cropping; and false alarms on foreign segments.

    python benchmarks/watermark.py CLIP... [--size 512] [--renders 30] [--foreign 300] [--rows rows.jsonl]

Clips stand for renders: segments of 5 s, cut to a square, get a payload of their own and are encoded as `drive` does (H.264,
CRF 16); each attack starts from that file. Foreign segments are 2 s long, half a second apart, every other one
mirrored, at sizes from 256 to 640 pixels. One row a trial goes to `--rows`; rows that are there are not repeated.
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options
from pipelines.media.encoder import write_video
from pipelines.media.video import VideoInfo, probe, read_frames
from pipelines.provenance.finding import FALSE_ALARM, find_in_video, find_mark
from pipelines.provenance.mark import Marker

SECONDS, FOREIGN_S, FOREIGN_STEP_S = 5.0, 2.0, 0.5
SIZES = (512, 640, 384, 512, 256)


def attacks(size: int) -> dict[str, list[str] | None]:
    """ffmpeg's words by name; None copies the streams."""
    half, kept = size // 4 * 2, round(size * 0.95) // 2 * 2
    crop = f"crop={kept}:{kept}:{(size - kept) // 3}:{(size - kept) // 2}"
    return {
        "re-mux": None, "CRF 18": ["-crf", "18"], "CRF 23": ["-crf", "23"], "CRF 28": ["-crf", "28"],
        "half size, CRF 23": ["-vf", f"scale={half}:{half}", "-crf", "23"],
        "5 % crop, CRF 23": ["-vf", crop, "-crf", "23"],
    }  # fmt: skip


def attacked(source: Path, words: list[str] | None, out: Path) -> Path:
    from imageio_ffmpeg import get_ffmpeg_exe

    how = ["-c", "copy"] if words is None else [*words, "-c:v", "libx264", "-preset", "veryfast"]
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", "-i", str(source), *how, str(out)], check=True)
    return out


def squared(image: np.ndarray, size: int) -> np.ndarray:
    """[size,size,...] from the middle."""
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    shrink = side > size
    middle = image[top : top + side, left : left + side]
    return cv2.resize(middle, (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)


def stretches(info: VideoInfo, size: int) -> Iterator[tuple[float, list[np.ndarray]]]:
    """Start and pictures [size,size,3] of one full stretch of SECONDS after the other."""
    for number, frames in itertools.groupby(read_frames(info.path), lambda frame: int(frame.time_s // SECONDS)):
        pictures = [squared(frame.image, size) for frame in frames]
        if len(pictures) > 0.95 * SECONDS * info.rate_hz:
            yield number * SECONDS, pictures


def windows(info: VideoInfo) -> Iterator[list[np.ndarray]]:
    """Gray squares of FOREIGN_S, every third frame, FOREIGN_STEP_S apart."""
    every = [
        (frame.time_s, squared(cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY), max(SIZES)))
        for frame in read_frames(info.path, wanted=lambda index, time_s: index % 3 == 0)
    ]
    for start in np.arange(0.0, every[-1][0] - FOREIGN_S, FOREIGN_STEP_S):
        yield [picture for time_s, picture in every if start <= time_s < start + FOREIGN_S]


def peak_ratio(marked: list[np.ndarray], plain: list[np.ndarray]) -> float:
    """PSNR in dB."""
    error = np.mean([np.square(a.astype(float) - b).mean() for a, b in zip(marked[::25], plain[::25], strict=True)])
    return float(10 * np.log10(255**2 / error))


def render(number: int, info: VideoInfo, start_s: float, plain: list[np.ndarray]) -> Iterator[dict[str, Any]]:
    payload, size = f"{0x9E3779B1 * (number + 1) % 2**32:08x}", len(plain[0])
    marker = Marker(payload)
    marked = [marker(picture) for picture in plain]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "render.mp4"
        write_video(source, iter(marked), info.rate)
        for name, words in attacks(size).items():
            found = find_in_video(attacked(source, words, Path(folder) / "attacked.mp4"))
            right = found.found and found.payload == payload
            yield {
                "kind": f"{size}", "number": number, "attack": name, "clip": info.path.name, "start_s": round(start_s, 2),
                "psnr": peak_ratio(marked, plain), "found": found.found, "right": right, "sure": found.sure, "z": found.z,
            }  # fmt: skip


def foreign(number: int, info: VideoInfo, pictures: list[np.ndarray]) -> dict[str, Any]:
    size, turn = SIZES[number % len(SIZES)], -1 if number % 2 else 1
    found = find_mark(squared(picture, size)[:, ::turn] for picture in pictures)
    return {"kind": "foreign", "number": number, "clip": info.path.name, "found": found.found, "z": found.z}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By size and attack: how many renders were found, with the right payload, and how surely; and the false alarms."""
    figures: dict[str, Any] = {}
    for kind in sorted({row["kind"] for row in rows} - {"foreign"}):
        of_kind = [row for row in rows if row["kind"] == kind]
        trials = {name: [row for row in of_kind if row["attack"] == name] for name in attacks(int(kind))}
        figures[f"{kind} px"] = {
            "psnr_least": min(row["psnr"] for row in of_kind),
            **{name: _scores(part) for name, part in trials.items() if part},
        }
    strange = [row for row in rows if row["kind"] == "foreign"]
    if strange:
        figures["foreign"] = {
            "segments": len(strange), "false_alarms": sum(row["found"] for row in strange),
            "z_largest": max(row["z"] for row in strange), "bound": FALSE_ALARM,
        }  # fmt: skip
    return figures


def _scores(trials: list[dict[str, Any]]) -> dict[str, float]:
    z = np.array([row["z"] for row in trials])
    return {
        "renders": len(trials), "found": sum(row["found"] for row in trials), "right": sum(row["right"] for row in trials),
        "z_least": float(z.min()), "z_median": float(np.median(z)),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--renders", type=int, default=30)
    parser.add_argument("--foreign", type=int, default=300)
    parser.add_argument("--rows", type=Path, default=Path("watermark.jsonl"))
    options(parser)
    asked = parser.parse_args()
    run = Run.of(f"watermark-{asked.size}", asked)
    cv2.setNumThreads(1)
    infos = [probe(clip) for clip in asked.clips]
    rows = [json.loads(line) for line in asked.rows.read_text().splitlines()] if asked.rows.exists() else []
    known = {(row["kind"], row["number"]) for row in rows}

    def keep(fresh: list[dict[str, Any]]) -> None:
        rows.extend(fresh)
        with asked.rows.open("a") as log:
            log.writelines(json.dumps(row) + "\n" for row in fresh)

    cut = ((info, *stretch) for info in infos for stretch in stretches(info, asked.size))
    for number, (info, start_s, plain) in enumerate(itertools.islice(cut, asked.renders)):
        if (str(asked.size), number) not in known:
            keep(list(render(number, info, start_s, plain)))
    strange = ((info, pictures) for info in infos for pictures in windows(info))
    for number, (info, pictures) in enumerate(itertools.islice(strange, asked.foreign)):
        if ("foreign", number) not in known:
            keep([foreign(number, info, pictures)])
    figures = summary(rows)
    size, headline = f"{asked.size} px", {}
    if size in figures:
        hard = f"{size}.half size, CRF 23"
        headline = {"PSNR of the mark": f"{size}.psnr_least", "found at half size": f"{hard}.found", "of": f"{hard}.renders"}
    if "foreign" in figures:
        headline |= {"false alarms": "foreign.false_alarms", "in": "foreign.segments"}
    run.finish(figures, headline=headline, inputs=asked.clips)


if __name__ == "__main__":
    main()
