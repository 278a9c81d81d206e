"""The plan of a training, from what a step and a labeled render are measured to need on this machine.

Steps are measured on networks that are thrown away, by all processes together.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from pipelines.engine.memory import GB, batch_limit, fit_to_memory, measure_peak
from pipelines.engine.microbatches import sampling
from pipelines.train.budget import PLAN, PlanRecord, Sizes, Stopwatch, make_plan, median_seconds
from pipelines.train.inputs import TrainInputs
from pipelines.train.networks import config_for
from pipelines.train.pairs import render_face
from pipelines.train.preparation import prepare
from pipelines.train.settings import FinetuneSettings
from pipelines.train.start_state import StartState
from pipelines.train.steps import Step, run_step, train_step

LATE = 1000
"""Turns of everything rare after which a measured step is made: the schedules are in the middle."""


def plan_training(inputs: TrainInputs, start: StartState, spent: Callable[[], float]) -> PlanRecord:
    """Budget and memory to numbers, once: a plan that is there already is obeyed. `spent()` seconds of the budget are gone."""
    if not (inputs.folder / PLAN).exists():
        threads = max(inputs.tools.cores() // inputs.processes.beside, 1)
        torch.set_num_threads(threads)
        sizes = sizes_within_memory(inputs, start)
        stopwatch = stopwatch_of(inputs, start, sizes.applied(inputs.settings.finetune))
        make_plan(inputs.settings, threads=threads, spent=spent, stopwatch=stopwatch, sizes=sizes).save(inputs.folder)
    plan = PlanRecord.load(inputs.folder)
    inputs.progress.say(f"plan: {plan.steps} steps, {plan.pairs} pairs, {plan.threads} threads ({plan.why})")
    return plan


def sizes_within_memory(inputs: TrainInputs, start: StartState) -> Sizes:
    """What a step computes, as much of it at once as fits in the memory that was asked for."""
    config, settings, processes = config_for(inputs.prior, inputs.settings), inputs.settings.finetune, inputs.processes
    sizes = Sizes(
        batch=settings.batch, micro_batch=settings.micro_batch, memory=settings.memory, image_size=config.image_size,
        raw_size=config.neural_rendering_resolution,
    )  # fmt: skip
    limit_gb = inputs.settings.memory_gb
    if limit_gb is None:
        return sizes
    fitting, peak_gb, why = fit_to_memory(
        settings, limit_gb, processes.count, lambda smaller: processes.call(step_memory, inputs, start, smaller)
    )
    images = batch_limit(fitting, processes.count)
    return replace(sizes, micro_batch=images, memory=fitting.memory, peak_gb=round(peak_gb, 3), memory_why=why)


def stopwatch_of(inputs: TrainInputs, start: StartState, settings: FinetuneSettings) -> Stopwatch:
    """Measures with `settings`, by all processes."""
    call = inputs.processes.call
    return Stopwatch(
        step=lambda threads: call(step_seconds, inputs, start, settings, threads),
        rare_parts=lambda threads, plain_s: call(adversary_seconds, inputs, start, settings, threads, plain_s),
        pair=lambda: call(pair_seconds, inputs, start),
    )


def step_memory(inputs: TrainInputs, start: StartState, settings: FinetuneSettings) -> tuple[float, float]:
    """Gigabytes before and in the heaviest of all steps; the most of any process."""
    ready, processes = prepare(inputs, start), inputs.processes
    trainer = ready.trainer
    trainer.step = LATE * settings.adversarial_every * settings.r1_every * settings.remember_every * 4
    step = Step(
        trainer=trainer, batches=ready.batches, settings=settings, steps=trainer.step + 1, seed=0, processes=processes
    )  # fmt: skip
    before_gb, peak_gb = measure_peak(lambda: run_step(step), inputs.device)
    return processes.most(int(before_gb * GB)) / GB, processes.most(int(peak_gb * GB)) / GB


def step_seconds(inputs: TrainInputs, start: StartState, settings: FinetuneSettings, threads: int) -> float:
    """Of a plain step: one without the adversarial part where steps have a photometric one."""
    torch.set_num_threads(threads)
    return median_seconds(_steps(inputs, start, settings, adversarial=settings.photometric == 0), count=4)


def adversary_seconds(
    inputs: TrainInputs, start: StartState, settings: FinetuneSettings, threads: int, plain_s: float
) -> float:
    """What the adversarial part adds in the mean to a plain step of `plain_s` seconds."""
    torch.set_num_threads(threads)
    if settings.photometric == 0 or settings.adversarial == 0:
        return 0.0
    step_s = median_seconds(_steps(inputs, start, settings, adversarial=True), count=2, warmup=1)
    return (1 - settings.adversarial_from) / settings.adversarial_every * max(step_s - plain_s, 0.0)


def _steps(inputs: TrainInputs, start: StartState, settings: FinetuneSettings, *, adversarial: bool) -> Callable[[int], object]:
    """Makes a step in the middle of a training, with random numbers by its argument."""
    ready = prepare(inputs, start)
    trainer = ready.trainer

    def run(number: int) -> None:
        trainer.step = LATE * settings.adversarial_every + (0 if adversarial else 1)
        train_step(trainer, ready.batches, settings, steps=trainer.step + LATE, seed=number, processes=inputs.processes)

    return run


def pair_seconds(inputs: TrainInputs, start: StartState) -> float:
    """Of rendering and labeling a latent."""
    trainer = prepare(inputs, start).trainer
    generator, w, settings = trainer.generator.eval(), trainer.latents.detach(), inputs.settings
    how = sampling(settings.finetune, None)
    with inputs.tools.labeler(inputs.space, inputs.prior.landmarks) as label:
        return median_seconds(
            lambda turn: label(render_face(generator, w[turn % len(w)], inputs.frontal, settings.pairs.render_px, how)), count=3
        )
