"""The step `appearance`: the generator is fine-tuned to the person (GAN-Avatar section 3.1); what it leaves in the avatar."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from models.generator import Generator
from pipelines.artifacts.family import family_of
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import mismatch, read_arrays, write_arrays, write_bytes
from pipelines.engine.checkpoint import step_of
from pipelines.engine.tensorboard_log import EventLog
from pipelines.train.budget import PlanRecord
from pipelines.train.finetune import CHECKPOINT, Finetuning
from pipelines.train.heldout_probe import Probe
from pipelines.train.inputs import TrainInputs
from pipelines.train.networks import config_for
from pipelines.train.preparation import prepare
from pipelines.train.settings import FinetuneSettings
from pipelines.train.start_state import StartState
from pipelines.train.trainer import Trainer, averaged_generator

GENERATOR, LATENTS = "generator.safetensors", "latents.npz"


@dataclass(frozen=True, kw_only=True)
class FrameLatents:
    """The file latents.npz: the fitted latents of the training frames."""

    filmed: np.ndarray
    """[N,W]"""
    opened: np.ndarray
    """[M,W] of the frames repeated with the mouth drawn open."""

    @classmethod
    def load(cls, folder: Path) -> "FrameLatents":
        """Those without drawn mouths, or with such under an older name, are read too."""
        arrays = read_arrays(folder / LATENTS, {"w": "float [N,W]"}, f"avatarcli train CAPTURE -o {folder.name}")
        filmed = arrays["w"]
        opened = arrays.get("opened", arrays.get("drawn", filmed[:0]))
        if problem := mismatch({"w": filmed, "opened": opened}, {"w": "float [N,W]", "opened": "float [M,W]"}):
            raise UnusableMaterial(f"{folder / LATENTS} {problem}; copy the avatar again.")
        return cls(filmed=filmed, opened=opened)

    def all(self) -> np.ndarray:
        return np.concatenate([self.filmed, self.opened])


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """What the step leaves: the person's generator, frozen, and the latents of the frames."""

    generator: Generator
    latents: FrameLatents


def fit_appearance(inputs: TrainInputs, start: StartState, plan: PlanRecord) -> dict[str, Any]:
    """Fine-tune, by all processes, and write generator, latents and landmarks; figures of the steps."""
    trainer, figures = inputs.processes.call(fine_tune, inputs, start, plan)
    if figures["steps"] < plan.steps:
        inputs.warn(f"stopped early by the budget: {figures['steps']} of {plan.steps} steps; this machine became slower.")
    generator, folder = averaged_generator(trainer), inputs.folder
    write_bytes(folder / GENERATOR, save(plain_state(generator.state_dict())))
    filmed, opened = np.split(trainer.average["latents"]["w"].cpu().numpy(), [len(inputs.frames)])
    write_arrays(folder / LATENTS, w=filmed, opened=opened, time_s=inputs.frames.time_s.numpy())
    write_arrays(folder / "landmarks.npz", landmarks=inputs.prior.landmarks)
    return figures


def load_appearance(inputs: TrainInputs) -> Appearance:
    """As the step left it in the folder, on the device."""
    family = family_of(inputs.prior.family, f"the prior {inputs.prior.name}")
    generator = family.build(config_for(inputs.prior, inputs.settings))
    generator.load_state_dict(load_file(inputs.folder / GENERATOR), strict=True)
    generator = generator.eval().requires_grad_(False).to(inputs.device)
    return Appearance(generator=generator, latents=FrameLatents.load(inputs.folder))


def fine_tune(inputs: TrainInputs, start: StartState, plan: PlanRecord) -> tuple[Trainer, dict[str, Any]]:
    """The planned steps, going on at the checkpoint if there is one; the first process logs and probes."""
    torch.set_num_threads(plan.threads)
    ready, settings, folder = prepare(inputs, start), inputs.settings, inputs.folder
    logs = inputs.processes.first and settings.finetune.tensorboard
    events = EventLog(folder, step_of(folder / CHECKPOINT)) if logs else None
    probe = Probe(
        inputs.dataset, inputs.expression(), ready.trainer.generator.image_size, settings.finetune, folder=folder / "samples",
        events=events,
    )  # fmt: skip

    def shrink(less: FinetuneSettings, why: str) -> None:
        keep_shrunk(inputs, less, why)

    figures = Finetuning(
        trainer=ready.trainer, batches=ready.batches, settings=plan.sizes.applied(settings.finetune), steps=plan.steps,
        seed=settings.seed, folder=folder, progress=inputs.progress, probe=probe, processes=inputs.processes,
        late=plan.late, shrunk=shrink, events=events,
    ).run()  # fmt: skip
    if events:
        events.close()
    return ready.trainer, {"begun": ready.source, **figures}


def keep_shrunk(inputs: TrainInputs, settings: FinetuneSettings, why: str) -> None:
    """Less at once from now on, also when the training goes on later: kept in plan.json, and in the stage's record."""
    if inputs.processes.first:
        inputs.warn(f"{why}.")
        PlanRecord.load(inputs.folder).shrunk(settings, why).save(inputs.folder)


def plain_state(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """As safetensors wants it."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
