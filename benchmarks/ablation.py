"""What each part of a person's training is worth: one capture, one budget, one thing changed a row.

    python benchmarks/ablation.py CAPTURE OUT [--budget 300 | --steps 200] [--rows hybrid ...]

Every row is a whole `train` with the same wall seconds, or on a busy machine the same steps, scored on the capture's held-out
frames through the corrected expression map (protocol heldout-1, mouth state). Rows that are there are kept: a broken run
goes on.
Camera noise moves the center of every training camera by a normal number of that
many millimeters along each axis; held-out cameras stay as they are.
"""

import argparse
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.record import Run, options
from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.capture_record import load_dataset_record
from pipelines.artifacts.dataset_view import view_of
from pipelines.core.files import read_arrays, read_json, write_arrays
from pipelines.core.stage import Silent
from pipelines.evaluate.faces import look, mouth_state, tracker
from pipelines.evaluate.protocol import evaluate_model, pictures
from pipelines.train import train
from pipelines.train.settings import PAPER, QUICK, TrainSettings


def changed(**changes: object) -> TrainSettings:
    """QUICK with other settings of the fine-tuning."""
    return replace(QUICK, finetune=replace(QUICK.finetune, **changes))  # type: ignore[arg-type]


PAPERS = replace(PAPER.finetune, steps=None, batch=4, adversarial_batch=4, coarse=12, fine=12, r1_gamma=None)
ROWS: dict[str, tuple[TrainSettings, float]] = {
    "hybrid": (QUICK, 0.0),
    "paper mode (adversarial alone, batch 4)": (
        replace(PAPER, finetune=PAPERS, pairs=replace(PAPER.pairs, count=300),
                expression_map=replace(PAPER.expression_map, image_steps=0)), 0.0),
    "photometric alone": (changed(adversarial=0.0), 0.0),
    "without prior": (replace(QUICK, network="fresh"), 0.0),
    "without paint": (replace(QUICK, paint=0), 0.0),
    "without balancing": (changed(balance=0.0), 0.0),
    "without remembered views": (changed(remembered=0.0), 0.0),
    "map polished in image space": (replace(QUICK, expression_map=replace(QUICK.expression_map, image_steps=200)), 0.0),
    "camera noise 1 mm": (QUICK, 1.0),
    "camera noise 2 mm": (QUICK, 2.0),
    "camera noise 5 mm": (QUICK, 5.0),
}  # fmt: skip
"""Settings and camera noise in millimeters."""


def noisy(capture: Path, folder: Path, millimeters: float) -> Path:
    """A copy of the capture whose training cameras stand a little elsewhere."""
    copy = folder / f"noise_{millimeters:g}mm.capture"
    if copy.exists():
        return copy
    shutil.copytree(capture, copy)
    tracking, random = read_arrays(copy / "tracking.npz"), np.random.default_rng(0)
    head_from_camera = np.linalg.inv(tracking["camera_from_head"])
    for pose, item in zip(head_from_camera, load_dataset_record(copy).items, strict=True):
        shift = random.normal(0, millimeters / 1000, 3)
        if item.split == "train":
            pose[:3, 3] += shift
    write_arrays(copy / "tracking.npz", **tracking | {"camera_from_head": np.linalg.inv(head_from_camera)})
    return copy


def row(capture: Path, folder: Path, name: str, budget_s: float, steps: int | None) -> dict[str, object]:
    settings, millimeters = ROWS[name]
    settings = replace(settings, budget_s=budget_s, finetune=replace(settings.finetune, steps=steps))
    avatar = folder / f"{name.split(' (')[0].replace(' ', '_')}.avatar"
    source = noisy(capture, folder, millimeters) if millimeters else capture
    train(source, avatar, settings, Silent())
    model = load_avatar(avatar)
    dataset = view_of(capture, model.frame)
    record, renders = evaluate_model(model, dataset)
    truth = pictures(dataset, "test", model.image_size)
    with tracker() as find:
        seen = [look(images, find, model.prior_landmarks, dataset.intrinsics[dataset.rows("test")])
                for images in (renders, truth.image)]  # fmt: skip
    mouth = mouth_state(seen[0], seen[1])
    plan, stage = read_json(avatar / "plan.json"), read_json(avatar / "stage.json")
    return {
        "steps": plan["steps"], "seconds": stage["seconds"], **record["avatar"], "mouth": mouth["share"],
        "mouth_asked": mouth["asked"],
        "faces_found": int(seen[0].found.sum()), "frames": len(renders), "mean_frame": record["baselines"]["mean"]["psnr_head"],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("capture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--budget", type=float, default=300.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rows", nargs="*", default=list(ROWS))
    options(parser)
    given = parser.parse_args()
    run = Run.of("ablation", given)
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "figures.json"
    figures = json.loads(path.read_text()) if path.exists() else {}
    for name in given.rows:
        if name not in figures:
            figures[name] = row(given.capture, given.out, name, given.budget, given.steps)
            path.write_text(json.dumps(figures, indent=1))
    chosen = {name: figures[name] for name in given.rows}
    run.finish(chosen, headline={f"PSNR {name}": f"{name}.psnr_head" for name in list(chosen)[:6]}, inputs=[given.capture])


if __name__ == "__main__":
    main()
