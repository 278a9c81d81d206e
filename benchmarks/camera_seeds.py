"""COLMAP's models of one clip with many seeds: which are accepted, and how wrong they are.

    python benchmarks/camera_seeds.py OUT [--seeds 20] [--views 24] [--ways seeded,grown,at_once]

Some frames of ../shared/synth/capture, both ways of matching, every way to a model, and so many seeds. The features are found
once. A repeated call goes on where the last one stopped.
"""

import argparse
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options
from benchmarks.truth import Truth, errors, synth
from pipelines.capture.cameras.candidate import CameraSettings, Question
from pipelines.capture.cameras.landmark_cameras import from_landmarks
from pipelines.capture.cameras.solve import select_candidate
from pipelines.capture.cameras.surface_tracks import Tracks, follow
from pipelines.capture.colmap import acceptance
from pipelines.capture.colmap import run as colmap
from pipelines.capture.footage.source import open_footage
from pipelines.capture.frames import extract, scan
from pipelines.capture.mattes import person
from pipelines.core.stage import Silent, step

REVERSED_DEG = 10.0
"""A model whose turns are off by more in the median is inside out, or of something else."""


@dataclass(frozen=True)
class Case:
    """A question to COLMAP, and what its answers are judged by."""

    asked: Question
    tracks: Tracks
    truth: Truth


def tried(truth: Truth, out: Path, seeds: int, views: int, ways: list[str]) -> dict[str, float]:
    """A line a model in OUT/seeds.txt and on the screen; how many were accepted, and how many of these are wrong."""
    record = out / "seeds.txt"
    case = prepared(truth, out / "seeds", views)
    for seed in range(seeds):
        for mode in ("exhaustive", "sequential"):
            known = record.read_text().splitlines() if record.exists() else []
            missing = [way for way in ways if not any(line.startswith(f"{mode} {seed} {way} ") for line in known)]
            one = of_seed(case, mode, seed, out / "seeds") if missing else case
            for way in missing:
                line = f"{mode} {seed} {way} {answer(one, way)}"
                with record.open("a") as stream:
                    stream.write(line + "\n")
                print(line, flush=True)
    accepted = [line.split() for line in record.read_text().splitlines() if "ACCEPTED" in line]
    medians = [float(words[4]) for words in accepted]
    return {
        "models_accepted": len(accepted), "accepted_wrong": sum(median > REVERSED_DEG for median in medians),
        "worst_median_deg": max(medians, default=float("nan")),
    }  # fmt: skip


def prepared(truth: Truth, folder: Path, views: int) -> Case:
    """Every third frame of the clip with mattes, landmark poses and followed points; made once."""
    footage, quiet = open_footage([truth.clip], 1920), Silent()
    settings = CameraSettings(sfm_views=views, sfm_longest_side_px=480, sfm_timeout_s=2400.0)
    step(folder, "scan", lambda: extract.scan(folder, footage, scan.FrameSettings(), quiet))
    seen = scan.load_scan(folder)
    chosen = seen.rows(seen.usable[::3])
    step(folder, "frames", lambda: extract.extract(folder, footage, chosen, quiet))
    step(folder, "mattes", lambda: person.matte_frames(folder, chosen, person.MatteSettings(refine=False), quiet))
    tracks, size = follow(folder, chosen), footage.info.size
    start = from_landmarks(chosen, size, settings, tracks)
    asked = Question(kind="scene", partial=folder, chosen=chosen, frame_size=size, reference=start, settings=settings, seed=0)
    return Case(asked, tracks, truth)


def of_seed(case: Case, mode: str, seed: int, shared: Path) -> Case:
    """The case with no models and no verified matches of another seed; features and their matches are those of the first."""
    settings = replace(case.asked.settings, sfm_matching=mode)
    asked = replace(case.asked, settings=settings, seed=seed, partial=shared / mode)
    (asked.partial / "work").mkdir(parents=True, exist_ok=True)
    for name in ("frames", "work/mattes"):
        if not (asked.partial / name).exists():
            (asked.partial / name).symlink_to((shared / name).resolve())
    for name in ("matches", "seeded.json", "grown.json", "at_once.json"):
        (asked.folder / name).unlink(missing_ok=True)
    shutil.rmtree(asked.folder / "models", ignore_errors=True)
    return replace(case, asked=asked)


def answer(case: Case, way: str) -> str:
    """Views, errors in degrees (median, largest), focal length, and whether the largest model was accepted."""
    asked = case.asked
    try:
        model = colmap.reconstruct(asked, way)[0]  # type: ignore[arg-type]
    except colmap.Failed as failure:
        return f"none: {failure}"
    found = acceptance.from_model(asked, model, case.tracks)
    accepted = select_candidate([asked.reference, found])[0] is found
    off = errors(model.camera_from_world, case.truth.camera_from_head[asked.chosen.index[model.rows]])
    focal = model.focal_px / case.truth.focal_px - 1
    return (
        f"{len(model.rows)}/{model.views} {np.median(off.rotation_deg):.2f} {off.rotation_deg.max():.2f} deg, "
        f"focal {100 * focal:+.1f}%, explained {model.explained:.2f}, k1 {model.k1:+.3f} "
        f"{'ACCEPTED' if accepted else 'refused'} {'; '.join(found.problems)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--views", type=int, default=24)
    parser.add_argument("--ways", default="seeded,grown,at_once")
    options(parser)
    given = parser.parse_args()
    run, truth = Run.of("camera_seeds", given), synth()
    given.out.mkdir(parents=True, exist_ok=True)
    figures = tried(truth, given.out, given.seeds, given.views, given.ways.split(","))
    run.finish(figures, headline={name.replace("_", " "): name for name in figures}, inputs=[truth.clip])


if __name__ == "__main__":
    main()
