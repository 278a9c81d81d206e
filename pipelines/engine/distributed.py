"""Several processes train one network, on one machine or many: `torchrun` starts them, torch.distributed connects them.

Notable choices:
- the first process leads: it calls functions that all run (`call`), and the others wait for such calls (`lead`);
- every process holds the whole network and computes every `count`-th part of a batch; gradients are added up before the step,
  so a step is the same however many there are, but for rounding. A part is the group whose members the discriminator compares;
- random numbers are keyed by what they are for, never by the process that draws them;
- the first process alone reads and writes files and shares what it read: a checkpoint fits any number of processes;
- gloo between CPUs, NCCL between GPUs. When one process is gone the others end with one sentence instead of waiting for it.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from pipelines.core.errors import AvatarError, SettingError
from pipelines.core.stage import Report, Work

T = TypeVar("T")
C = TypeVar("C")
P = ParamSpec("P")
PATIENCE = timedelta(hours=6)
"""How long a process waits for the others: for all that the first one does alone, such as a person's expression map."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Who takes part. Alone, nothing is sent and every call gives back what it got."""

    rank: int = 0
    count: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        return self.rank == 0

    @property
    def beside(self) -> int:
        """Processes on this machine, which share its cores."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if self.count > 1 else 1

    def mine(self, pieces: Iterable[T], *, spare: bool = False) -> list[T]:
        """Every `count`-th: of five pieces process 0 of 2 takes the first, third and fifth. SettingError when one gets none.

        `spare`: the last process takes the first piece, and some may get none.
        """
        every = list(pieces)
        if spare:
            return every[self.count - 1 - self.rank :: self.count]
        if len(every) < self.count:
            raise SettingError(
                f"a batch of {len(every)} micro-batches is too small for {self.count} processes: "
                "start fewer, or change the batch or the micro-batch."
            )
        return every[self.rank :: self.count]

    def add(self, *tensors: Tensor) -> None:
        """In place, the sum over the processes, as one message a type of number; the same bits on each of them."""
        if self.count == 1:
            return
        for kind in sorted({tensor.dtype for tensor in tensors}, key=str):
            alike = [tensor for tensor in tensors if tensor.dtype == kind]
            message = torch.cat([tensor.detach().to(self.device).flatten() for tensor in alike])
            with self._heard():
                dist.all_reduce(message)
            for tensor, total in zip(alike, message.split([tensor.numel() for tensor in alike]), strict=True):
                tensor.detach().copy_(total.view_as(tensor))

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Gradients are added up; one that a process lacks counts as zeros there, one that all lack stays none."""
        if self.count == 1:
            return
        every = list(parameters)
        there = torch.tensor([float(one.grad is not None) for one in every])
        self.add(there)
        taken = [one for one, number in zip(every, there.tolist(), strict=True) if number]
        for one in taken:
            one.grad = torch.zeros_like(one) if one.grad is None else one.grad
        self.add(*(one.grad for one in taken if one.grad is not None))

    def most(self, number: int) -> int:
        """The largest of the processes' numbers: what one of them has to say, all of them hear."""
        if self.count == 1:
            return number
        message = torch.tensor(number, device=self.device)
        with self._heard():
            dist.all_reduce(message, dist.ReduceOp.MAX)
        return int(message)

    def from_first(self, value: T) -> T:
        """The first process's value (a small one), on all of them."""
        if self.count == 1:
            return value
        box = [value]
        with self._heard():
            dist.broadcast_object_list(box, device=torch.device(self.device))
        return box[0]

    def share(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The first process's tensors by name, on the device of each; what the others pass is not looked at."""
        if self.count == 1:
            return dict(tensors)
        shapes = self.from_first({name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()})
        found = {}
        for name, (shape, kind) in shapes.items():
            found[name] = tensors[name].to(self.device).contiguous() if self.first else torch.empty(
                shape, dtype=kind, device=self.device
            )  # fmt: skip
            with self._heard():
                dist.broadcast(found[name], 0)
        return found

    def lead(self, context: C, work: Callable[[C], T]) -> T | None:
        """`work(context)` by the first process alone; until it is done the others take part in what it calls, and get None."""
        if self.first:
            result = work(context)
            self.from_first(None)
            return result
        nothing: Any = None
        while (message := self.from_first(nothing)) is not None:
            function, args = message
            function(context, *args)
        return None

    def call(self, function: Callable[Concatenate[C, P], T], context: C, /, *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(context, ...)` by all processes at once; gives back what it is in the first one, which calls.

        The function has a name in its module, by which it is sent, together with its arguments; `context` is not sent: every
        process has its own (`lead`).
        """
        assert not kwargs, "arguments are sent by place"
        self.from_first((function, args))
        return function(context, *args, **kwargs)

    def staged(self, stage: Callable[[Work], Report], work: Work) -> Report:
        """`stage(work)` by the first process; the others only help with the work, if there is any, and get its report."""
        if not self.first:
            if folder := self.from_first(None):
                work(folder)
            return self.from_first(None)  # type: ignore[return-value]

        def together(folder: Path) -> dict[str, Any]:
            self.from_first(folder)
            return work(folder)

        report = stage(together)
        if report.status == "unchanged":
            self.from_first(None)
        return self.from_first(report)

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """One sentence when the others cannot be reached, whichever signal comes on top."""
        try:
            yield
        except BaseException as error:
            if isinstance(error, RuntimeError) or isinstance(error.__context__, RuntimeError):
                raise AvatarError(
                    f"process {self.rank} of {self.count} stopped because another process died, see its message above; "
                    "run the same command again to continue from the last checkpoint."
                ) from error
            raise


ALONE = Processes()


@contextmanager
def together(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, connected; just this one without torchrun. `device` is `cpu` or `cuda`."""
    count = _number("WORLD_SIZE", 1) if "RANK" in os.environ else 1
    if count == 1:
        yield Processes(device=device)
        return
    import torch._dynamo  # noqa: F401 - the optimizers' import of it, once connected, keeps gloo's threads beyond the end

    rank, kind = _number("RANK", 0), "gloo"
    if device == "cuda":
        kind, device = "nccl", f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
        torch.cuda.set_device(device)
    processes = Processes(rank=rank, count=count, device=device)
    with processes._heard():
        dist.init_process_group(kind, rank=rank, world_size=count, timeout=PATIENCE)
    try:
        yield processes
    except Exception:
        raise
    except BaseException as signal:
        raise AvatarError(
            f"process {rank} of {count} was stopped, by you or because another process died (see its message, or torchrun's); "
            "run the same command again to continue from the last checkpoint."
        ) from signal
    dist.destroy_process_group()  # not after an error: whoever still waits has to notice


def _number(name: str, usual: int) -> int:
    """A number that torchrun sets; SettingError where the variable holds something else."""
    text = os.environ.get(name, str(usual))
    if not (text.isascii() and text.isdigit()):
        raise SettingError(f"the environment variable {name} is {text!r}, not a number; torchrun sets it, unset it otherwise.")
    return int(text)
