"""The whole way on real clips: held-out figures beside the baselines, and the seconds of every stage.

    python benchmarks/real_clips.py OUT --drive driver.mp4 --budget 10m clip1.mp4 clip2.mp4 ...

Runs `avatarcli run` once a clip (a repeated call takes finished ones as they are).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options

COLUMNS = ("avatar", "mean", "retrieval", "oracle")
FIGURES = ("psnr_head", "psnr_full", "ssim_head", "sharpness_head")


def run(clip: Path, driver: Path, out: Path, options: list[str]) -> dict:
    """The JSON that `avatarcli run --json` prints, or its error."""
    command = [
        sys.executable,
        "-m",
        "avatarcli",
        "run",
        str(clip),
        "--drive",
        str(driver),
        "-o",
        str(out / clip.stem),
        *options,
    ]
    done = subprocess.run([*command, "--json"], stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def row(result: dict) -> dict[str, Any]:
    """PSNR, SSIM and sharpness of the avatar and the baselines, the jaw's range, and seconds a stage."""
    if "stages" not in result:
        return {"failed": result.get("error", "without a word")}
    capture, train, drive = result["stages"]
    found = train["figures"]["evaluation"]
    scores = {"avatar": found["avatar"], **found["baselines"]}
    stages = {"capture": capture, "train": train, "drive": drive}
    return {
        "steps": train["figures"]["steps"], "jaw_range": train["figures"]["jaw_range"],
        **{figure: {name: scores[name][figure] for name in COLUMNS} for figure in FIGURES},
        "seconds": {name: sum(stage["seconds"].values()) for name, stage in stages.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--drive", type=Path, required=True)
    parser.add_argument("--budget", default="10m")
    options(parser)
    asked = parser.parse_args()
    bench = Run.of("real_clips", asked)
    words = ["--preset", "quick", "--budget", asked.budget, "--set", "train.frame=prior", "--set", "train.edges=filmed"]
    figures = {clip.stem: row(run(clip, asked.drive, asked.out, words)) for clip in asked.clips}
    finished = [name for name, values in figures.items() if "failed" not in values][:6]
    headline = {f"PSNR {name}": f"{name}.psnr_head.avatar" for name in finished}
    bench.finish(figures, headline=headline, inputs=[*asked.clips, asked.drive])


if __name__ == "__main__":
    main()
