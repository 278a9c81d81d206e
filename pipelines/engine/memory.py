"""Memory of a training step: what it needs at most, and what happens where it does not suffice.

A batch is computed in micro-batches whose gradients add up; if one image at a time is still too much, backward computes large
activations again. Neither changes what a step learns, but for rounding (pipelines.engine.microbatches).
"""

import ctypes
import gc
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import torch

from pipelines.core.errors import AvatarError, SettingError
from pipelines.engine.distributed import Processes

GB = 1e9
SAFETY = 0.9
"""A plan fills this part of the memory that was asked for."""
SHORT = re.compile(
    r"not enough memory|can('t|not) allocate memory|out of memory|could not create a (primitive|memory)", re.IGNORECASE
)
"""What PyTorch says; the last is oneDNN, which does not get what it needs for a convolution."""


class BatchSettings(Protocol):
    """A frozen dataclass whose fields say how large a step is, and how much of it is computed at once."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def batch(self) -> int: ...
    @property
    def adversarial_batch(self) -> int: ...
    @property
    def micro_batch(self) -> int | None: ...
    @property
    def memory(self) -> Literal["fast", "light"]: ...


S = TypeVar("S", bound=BatchSettings)


class OutOfMemory(AvatarError):
    """A step did not fit; nothing of it has moved the generator."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch (CPU or GPU) or Python said that memory ran out."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and SHORT.search(str(error)) is not None


@contextmanager
def within_memory(processes: Processes) -> Iterator[None]:
    """OutOfMemory in all processes when it ran out in one of them, so that they try again together."""
    short = False
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        short = True  # and the traceback is let go, with the tensors in it
    if processes.most(int(short)):
        raise OutOfMemory("a training step does not fit in memory, even image by image; train a smaller network.")


def release_memory() -> None:
    """What is kept for later allocations goes back to the GPU, or to the operating system (glibc)."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def batch_limit(settings: BatchSettings, processes: int) -> int:
    """Images that a process computes at once."""
    share = max(max(settings.batch, settings.adversarial_batch) // processes, 1)
    return min(settings.micro_batch or share, share)


def smaller(settings: S, processes: int) -> S | None:
    """Half as many images at once, then light memory, then nothing that would help."""
    images = batch_limit(settings, processes)
    if images > 1:
        return replace(settings, micro_batch=images // 2)
    return replace(settings, memory="light") if settings.memory == "fast" else None


def describe_batches(settings: BatchSettings, processes: int) -> str:
    """`2 images at once`, for messages."""
    images = batch_limit(settings, processes)
    light = ", large activations computed again in backward" if settings.memory == "light" else ""
    return f"{images} image{'s' if images > 1 else ''} at once{light}"


def ladder(settings: S, processes: int) -> list[S]:
    """The settings, and all that need less memory, the least first."""
    rungs: list[S] = []
    following: S | None = settings
    while following is not None:
        rungs.insert(0, following)
        following = smaller(following, processes)
    return rungs


def fit_to_memory(
    settings: S, limit_gb: float, processes: int, peak: Callable[[S], tuple[float, float]]
) -> tuple[S, float, str]:
    """The settings of most images at once whose step stays within `limit_gb`, its peak in GB, and why these.

    `peak` measures gigabytes before a step and at its peak. It begins with one image and goes on to twice as many only where
    twice the activations would fit; light memory is for where one image does not. SettingError when no step fits.
    """
    rungs, room = ladder(settings, processes), SAFETY * limit_gb
    alike = [rung for rung in rungs if rung.memory == settings.memory]
    best, before, needed = _first_fit([alike[0], *(rung for rung in rungs if rung not in alike)], limit_gb, processes, peak)
    for more in alike[1:] if best is alike[0] else ():
        if before + 2 * (needed - before) > room:
            break
        before, larger = peak(more)
        if larger > room:
            break
        best, needed = more, larger
    limits = describe_batches(best, processes)
    return best, needed, f"{limits}, for which a step was measured to need {needed:.2f} of {limit_gb:g} GB"


def _first_fit(
    rungs: Sequence[S], limit_gb: float, processes: int, peak: Callable[[S], tuple[float, float]]
) -> tuple[S, float, float]:
    """The first settings whose step fits, and gigabytes before it and at its peak; SettingError when none does."""
    needed = 0.0
    for rung in rungs:
        before, needed = peak(rung)
        if needed <= SAFETY * limit_gb:
            return rung, before, needed
    raise SettingError(
        f"--memory {limit_gb:g}g: a training step needs {needed:.1f} GB even with {describe_batches(rungs[-1], processes)}; "
        f"give at least {needed / SAFETY:.1f}g, or train a smaller network, such as --set network=prior."
    )


def measure_peak(run: Callable[[], object], device: str) -> tuple[float, float]:
    """Gigabytes before `run()` and at most while it runs: of this process, or of its tensors on a GPU."""
    release_memory()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_reserved()
        run()
        return before / GB, torch.cuda.max_memory_reserved() / GB
    with suppress(OSError):  # the kernel's note of the peak begins anew; elsewhere than on Linux it goes back to the start
        Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return before / GB, _status("VmHWM") / GB


def _status(name: str) -> float:
    """Bytes of a line of /proc/self/status; the peak since the process began where there is no such file."""
    try:
        line = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        line = None
    if line:
        return float(line[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)
