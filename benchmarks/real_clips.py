"""The whole way on real clips: held-out figures beside the baselines, and the seconds of every stage.

    python benchmarks/real_clips.py OUT --drive driver.mp4 --budget 10m clip1.mp4 clip2.mp4 ...

Runs `avatarcli run` once a clip (a repeated call takes finished ones as they are) and prints a Markdown table.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

COLUMNS = ("avatar", "mean", "retrieval", "oracle")


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


def row(clip: Path, result: dict) -> str:
    """One line: PSNR inside the head and sharpness of the avatar and the baselines, and seconds a stage."""
    if "stages" not in result:
        return f"| {clip.stem} | {result.get('error', 'failed')} |"
    capture, train, drive = result["stages"]
    found = train["figures"]["evaluation"]
    scores = {"avatar": found["avatar"], **found["baselines"]}
    head = " / ".join(f"{scores[name]['psnr_head']:.2f}" for name in COLUMNS)
    full = " / ".join(f"{scores[name]['psnr_full']:.2f}" for name in COLUMNS)
    sharp = f"{scores['avatar']['sharpness_head']:.2f} / {scores['mean']['sharpness_head']:.2f}"
    fit = f"{train['figures']['steps']} | {head} | {full} | {sharp} | {train['figures']['jaw_range']:.2f}"
    seconds = " + ".join(f"{sum(stage['seconds'].values()):.0f}" for stage in (capture, train, drive))
    return f"| {clip.stem} | {fit} | {seconds} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--drive", type=Path, required=True)
    parser.add_argument("--budget", default="10m")
    asked = parser.parse_args()
    print(f"{os.cpu_count()} CPUs, budget {asked.budget}; PSNR in dB on held-out frames: {' / '.join(COLUMNS)}\n")
    print("| clip | steps | PSNR head | PSNR full | sharpness avatar / mean | jaw range | seconds capture + train + drive |")
    print("|---|---|---|---|---|---|---|")
    for clip in asked.clips:
        print(row(clip, run(clip, asked.drive, asked.out, ["--preset", "quick", "--budget", asked.budget])), flush=True)


if __name__ == "__main__":
    main()
