"""From a capture to an avatar, step by step (GAN-Avatar section 3): read `fit_avatar` from top to bottom.

Each step is a function that leaves its files in the avatar's folder, and the next ones read them there: a training that was
interrupted goes on behind the last step that is done, with the same bits. One process runs the steps; where several take part
(`Processes.call`), each has inputs of its own.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.head_frame import HeadFrame
from pipelines import evaluate
from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.avatar_record import SCENE, TORSO, add_files
from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.dataset_view import view_of
from pipelines.artifacts.family import config_of
from pipelines.artifacts.prior import load_prior
from pipelines.avatar.references.build import build_references
from pipelines.avatar.scene.build import build_scene
from pipelines.avatar.torso import build_torso
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import write_image, write_json, write_text
from pipelines.core.stage import Progress, step
from pipelines.engine.distributed import Processes
from pipelines.train.appearance import Appearance, fit_appearance, load_appearance
from pipelines.train.budget import PlanRecord
from pipelines.train.expressions import fit_map, label_pairs, load_pairs
from pipelines.train.framing import framing_of
from pipelines.train.inputs import Tools, TrainInputs
from pipelines.train.networks import make_networks
from pipelines.train.page import avatar_report
from pipelines.train.pairs import Pairs
from pipelines.train.planning import plan_training
from pipelines.train.preparation import start_from_prior
from pipelines.train.record import write_record
from pipelines.train.settings import TrainSettings
from pipelines.train.start_state import StartState

LEAST_FRAMES = 8
"""Training frames of a capture."""
SHEET = 8
"""Held-out frames on the sheet heldout.png."""


def open_inputs(
    capture: Path, folder: Path, settings: TrainSettings, progress: Progress, processes: Processes, tools: Tools | None = None
) -> TrainInputs:
    """The inputs of a training that begins at a prior; UnusableMaterial when the capture does not serve."""
    prior = load_prior(settings.prior)
    framing = framing_of(capture, prior.frame, config_of(prior).box_size, personal=settings.frame == "person")
    return TrainInputs(
        captures=(capture,), dataset=load_capture(capture, framing.frame), prior=prior, framing=framing, settings=settings,
        folder=folder, networks=partial(make_networks, prior, settings, processes.device), progress=progress,
        processes=processes, tools=tools or Tools(),
    )  # fmt: skip


def load_capture(capture: Path, frame: HeadFrame) -> Dataset:
    """The capture in a head frame."""
    dataset = view_of(capture, frame)
    require_frames(capture, dataset)
    return dataset


def require_frames(capture: Path, dataset: Dataset) -> None:
    """UnusableMaterial when there are too few to learn from, or none is held out."""
    count = len(dataset.rows("train"))
    if count < LEAST_FRAMES or len(dataset.rows("test")) < 1:
        raise UnusableMaterial(f"{capture} has {count} training frames; film for 10 s or longer.")


def train_avatar(inputs: TrainInputs, spent: Callable[[], float]) -> dict[str, Any]:
    """The whole training from a prior; `spent()` seconds of the budget are gone. Figures for the stage's record."""
    figures = fit_avatar(inputs, start_from_prior, spent)
    write_report(inputs.folder)
    return figures


def fit_avatar(
    inputs: TrainInputs, find_start: Callable[[TrainInputs], StartState], spent: Callable[[], float]
) -> dict[str, Any]:
    """All steps but the report, from where `find_start` begins; those that are done are not done again."""
    folder = inputs.folder
    framed = step(folder, "framing", lambda: check_framing(inputs))
    step(folder, "start", lambda: save_start(inputs, find_start(inputs)))
    start = StartState.load(folder)
    step(folder, "plan", lambda: asdict(plan_training(inputs, start, spent)))
    plan = PlanRecord.load(folder)
    tuned = step(folder, "appearance", lambda: fit_appearance(inputs, start, plan))
    torch.set_num_threads(plan.threads)
    appearance = load_appearance(inputs)
    labeled = step(folder, "pairs", lambda: label_pairs(inputs, appearance, plan.pairs))
    pairs = load_pairs(inputs)
    mapped = step(folder, "expression_map", lambda: add_map(inputs, appearance, pairs))
    step(folder, "torso", lambda: add_torso(inputs))
    step(folder, "scene", lambda: add_scene(inputs))
    step(folder, "references", lambda: add_references(inputs))
    scores = step(folder, "evaluation", lambda: evaluate_avatar(inputs))
    return {
        "steps": tuned["steps"], "planned_steps": tuned.get("planned_steps", tuned["steps"]), "begun": tuned["begun"],
        "framing": framed, "evaluation": scores, "pairs": labeled["pairs"], "jaw_range": labeled["jaw_range"], **mapped,
    }  # fmt: skip


def check_framing(inputs: TrainInputs) -> dict[str, Any]:
    """The square's place; what it cuts is said."""
    for text in inputs.framing.warnings():
        inputs.warn(text)
    return inputs.framing.figures()


def save_start(inputs: TrainInputs, start: StartState) -> dict[str, int]:
    start.save(inputs.folder)
    return start.counts


def add_map(inputs: TrainInputs, appearance: Appearance, pairs: Pairs) -> dict[str, Any]:
    """The expression map, and with it all that a drive needs: the avatar's record."""
    figures = fit_map(inputs, appearance, pairs)
    write_record(inputs, appearance, pairs.expression)
    return figures


def add_torso(inputs: TrainInputs) -> dict[str, Any]:
    """The layer behind the head, of the person's own capture."""
    if inputs.settings.torso != "none":
        build_torso(inputs.captures[0], inputs.folder)
        add_files(inputs.folder, TORSO)
    return {"mode": inputs.settings.torso}


def add_scene(inputs: TrainInputs) -> dict[str, Any]:
    """What was filmed around the head, of the person's own capture."""
    if inputs.settings.scene == "none":
        return {}
    figures = build_scene(inputs.captures[0], inputs.folder, inputs.tools.find_person)
    if figures:
        add_files(inputs.folder, SCENE)
    return figures


def add_references(inputs: TrainInputs) -> dict[str, Any]:
    """Filmed frames of the person, for the detail of the avatar's pictures."""
    if inputs.settings.references == "none":
        return {"filmed_frames": 0}
    names, count = build_references(inputs.dataset, load_avatar(inputs.folder, inputs.device), inputs.progress)
    add_files(inputs.folder, names, filmed_frames=count)
    return {"filmed_frames": count}


def evaluate_avatar(inputs: TrainInputs) -> dict[str, Any]:
    """The frozen evaluation on held-out frames, and a sheet of some of them above their renders."""
    model = load_avatar(inputs.folder, inputs.device)
    record, renders = evaluate.evaluate_model(model, inputs.dataset)
    truth = evaluate.pictures(inputs.dataset, "test", model.image_size)
    write_json(inputs.folder / "metrics.json", record)
    columns = np.linspace(0, len(renders) - 1, min(SHEET, len(renders))).round().astype(int)
    sheet = np.concatenate([np.concatenate([truth.image[i], renders[i]], axis=0) for i in columns], axis=1)
    write_image(inputs.folder / "samples" / "heldout.png", (sheet * 255).round().astype(np.uint8))
    return record


def write_report(folder: Path) -> None:
    write_text(folder / "report.html", avatar_report(folder))
