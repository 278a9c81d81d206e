"""Appearance: one person's generator, from images and cameras only (GAN-Avatar section 3.1), step by step to the end.

Notable choices:
- every random number is keyed by (seed, step, purpose), so a resumed run equals an unbroken one;
- Ctrl-C and SIGTERM finish the current step and save it in a checkpoint, then stop;
- a step that does not fit in memory is made again in smaller micro-batches; nothing but rounding depends on their size;
- of several processes (pipelines.engine.distributed) the first one alone reads and writes files; what makes one of them
  stop or try again makes all of them.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

from pipelines.core.signals import Asked, noted
from pipelines.core.stage import CHECKPOINT, Progress, Task
from pipelines.engine.checkpoint import flatten, load_checkpoint, save_checkpoint, unflatten
from pipelines.engine.distributed import ALONE, Processes
from pipelines.engine.memory import OutOfMemory, describe_batches, release_memory, smaller
from pipelines.engine.tensorboard_log import EventLog
from pipelines.train.context import Batches
from pipelines.train.settings import FinetuneSettings
from pipelines.train.steps import Step, run_step
from pipelines.train.trainer import Trainer

LOG = "train_log.jsonl"
RECENT = 40
"""Steps over which it is seen how fast the machine is."""
LOG_EVERY = 10
"""Steps."""


class Ending(IntEnum):
    """What a process has to say after a step; the largest of all processes' counts."""

    NONE = 0
    LATE = 1
    """The budget is used up."""
    SIGNAL = 2


@dataclass(kw_only=True)
class Finetuning:
    """`trainer` to `steps`, continuing from `folder/checkpoint.safetensors`, writing checkpoints and `train_log.jsonl`."""

    trainer: Trainer
    batches: Batches
    settings: FinetuneSettings
    steps: int
    seed: int
    folder: Path
    progress: Progress
    probe: Callable[[Trainer], dict[str, float]]
    """Held-out figures, at checkpoints."""
    processes: Processes = ALONE
    late: Callable[[float, float], bool] = lambda seconds, pace: False
    """Whether to end early, at a checkpoint, after so many seconds at so many seconds a step of late."""
    shrunk: Callable[[FinetuneSettings, str], None] = lambda settings, why: None
    """Is told when less had to be done at once."""
    events: EventLog | None = None
    earlier_s: float = 0.0
    """Seconds of the steps that an earlier run kept."""
    start: float = field(default_factory=time.perf_counter)
    made_smaller: list[str] = field(default_factory=list)
    heldout: dict[str, float] = field(default_factory=dict)
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def run(self) -> dict[str, Any]:
        """The steps made and planned, and what had to be made smaller; KeyboardInterrupt where a signal ended them."""
        self.resume()
        with self.progress.task("appearance", self.steps) as task, noted(patient=self.processes.count > 1) as asked:
            task.advance(self.trainer.step)
            ending = self.make_steps(task, asked)
        if ending == Ending.SIGNAL:
            self.progress.say(f"saved after step {self.trainer.step} of {self.steps}; run the same command again to continue.")
            asked.obey()
            raise KeyboardInterrupt  # another process was asked
        return {"steps": self.trainer.step, "planned_steps": self.steps, "made_smaller": self.made_smaller}

    @property
    def seconds(self) -> float:
        return self.earlier_s + time.perf_counter() - self.start

    @property
    def pace(self) -> float:
        """Seconds a step of late, without checkpoints; 0 before there are enough."""
        return sum(self.recent) / RECENT if len(self.recent) == RECENT else 0.0

    def resume(self) -> None:
        """The trainer of the checkpoint, or of the first process, in all of them; log rows beyond it are cut off."""
        path, processes = self.folder / CHECKPOINT, self.processes
        there = processes.from_first(path.exists())
        if there or processes.count > 1:
            step, tree = self.trainer.step, self.trainer.tree()
            if there:
                step, tree = load_checkpoint(path, str(self.trainer.latents.device)) if processes.first else (0, {})
            optimizers = {"generator_optimizer": {}, "discriminator_optimizer": {}}
            self.trainer.load(processes.from_first(step), optimizers | unflatten(processes.share(flatten(tree))))
        if processes.first:
            self.earlier_s = _cut_log(self.folder / LOG, self.trainer.step)

    def make_steps(self, task: Task, asked: Asked) -> Ending:
        """Steps until the last, or until it is late, or a signal came; says which."""
        ending = Ending.LATE if self.is_late() else Ending.NONE
        while self.trainer.step < self.steps and ending == Ending.NONE:
            start = time.perf_counter()
            figures = self.make_step()
            self.recent.append(time.perf_counter() - start)
            task.advance()
            here = Ending.SIGNAL if asked.number else Ending.LATE if self.is_late() else Ending.NONE
            ending = Ending(self.processes.most(here))
            if self.processes.first:
                self.note(figures, task, ending)
        self.processes.most(Ending.NONE)  # nobody leaves before the first one has saved
        return ending

    def is_late(self) -> bool:
        return self.processes.first and self.trainer.step < self.steps and self.late(self.seconds, self.pace)

    def make_step(self) -> dict[str, float]:
        """One step, in smaller micro-batches where it does not fit in memory."""
        step = Step(
            trainer=self.trainer, batches=self.batches, settings=self.settings, steps=self.steps, seed=self.seed,
            processes=self.processes,
        )  # fmt: skip
        while True:
            try:
                return run_step(step)
            except OutOfMemory:
                less = smaller(self.settings, self.processes.count)
                if less is None:
                    raise
            self.shrink(less)
            step.settings = less

    def shrink(self, less: FinetuneSettings) -> None:
        """The step that did not fit is forgotten; from now on steps are made with `less`."""
        self.settings = less
        self.trainer.generator_optimizer.zero_grad(set_to_none=True)
        release_memory()
        limits = describe_batches(less, self.processes.count)
        why = f"out of memory in step {self.trainer.step + 1}; it goes on with {limits}"
        self.made_smaller.append(why)
        self.shrunk(less, why)

    def note(self, losses: dict[str, float], task: Task, ending: Ending) -> None:
        """Checkpoint, held-out figures, sheet and log, each where it is its turn."""
        step, last = self.trainer.step, ending == Ending.LATE or self.trainer.step == self.steps
        probed = step % self.settings.checkpoint_every == 0 or last
        if probed:
            self.heldout = self.probe(self.trainer)
        if probed or ending == Ending.SIGNAL:
            save_checkpoint(self.folder / CHECKPOINT, step, self.trainer.tree())
        task.note(", ".join(f"{name} {value:.3g}" for name, value in (losses | self.heldout).items()))
        if step % LOG_EVERY == 0 or last:
            figures = losses | self.heldout if probed else losses
            _append(self.folder / LOG, {"step": step, "seconds": round(self.seconds, 2), **figures})
            if self.events:
                self.events.figures(step, figures)


def _append(log: Path, row: dict[str, float]) -> None:
    with log.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def _cut_log(log: Path, step: int) -> float:
    """Drop lines past the checkpoint, which the resumed run writes again; the seconds of the last one that stays."""
    if not log.exists():
        return 0.0
    lines = [line for line in log.read_text().splitlines() if line.endswith("}") and json.loads(line)["step"] <= step]
    log.write_text("".join(line + "\n" for line in lines))
    return float(json.loads(lines[-1])["seconds"]) if lines else 0.0
