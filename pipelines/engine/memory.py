"""Memory of a training step: what it needs at most, and what happens where it does not suffice.

A batch is computed in micro-batches whose gradients add up; if one image at a time is still too much, backward computes large
activations again. Neither changes what a step learns, but for rounding (pipelines.engine.microbatches).
"""

import ctypes
import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.core.errors import AvatarError, SettingError
from pipelines.engine.distributed import Processes
from pipelines.train.settings import FinetuneSettings

GB = 1e9
SAFETY = 0.9
"""A plan fills this part of the memory that was asked for."""
SHORT = re.compile(
    r"not enough memory|can('t|not) allocate memory|out of memory|could not create a (primitive|memory)", re.IGNORECASE
)
"""What PyTorch says; the last is oneDNN, which does not get what it needs for a convolution."""


class OutOfMemory(AvatarError):
    """A step did not fit; nothing of it has moved the generator."""


def is_short(error: BaseException) -> bool:
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
        if not is_short(error):
            raise
        short = True  # and the traceback is let go, with the tensors in it
    if processes.most(int(short)):
        raise OutOfMemory("a training step does not fit in memory, even image by image; train a smaller network.")


def give_back() -> None:
    """What is kept for later allocations goes back to the GPU, or to the operating system (glibc)."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def at_once(settings: FinetuneSettings, processes: int) -> int:
    """Images that a process computes at once."""
    share = max(max(settings.batch, settings.adversarial_batch) // processes, 1)
    return min(settings.micro_batch or share, share)


def smaller(settings: FinetuneSettings, processes: int) -> FinetuneSettings | None:
    """Half as many images at once, then light memory, then nothing that would help."""
    images = at_once(settings, processes)
    if images > 1:
        return replace(settings, micro_batch=images // 2)
    return replace(settings, memory="light") if settings.memory == "fast" else None


def said(settings: FinetuneSettings, processes: int) -> str:
    images = at_once(settings, processes)
    light = ", large activations computed again in backward" if settings.memory == "light" else ""
    return f"{images} image{'s' if images > 1 else ''} at once{light}"


def ladder(settings: FinetuneSettings, processes: int) -> list[FinetuneSettings]:
    """The settings, and all that need less memory, the least first."""
    found: list[FinetuneSettings] = []
    following: FinetuneSettings | None = settings
    while following is not None:
        found.insert(0, following)
        following = smaller(following, processes)
    return found


def fitting(
    settings: FinetuneSettings, limit_gb: float, processes: int, peak: Callable[[FinetuneSettings], tuple[float, float]]
) -> tuple[FinetuneSettings, str]:
    """The settings of most images at once whose step stays within `limit_gb`, and why; SettingError when none does.

    `peak` measures gigabytes before a step and at its peak. It begins with one image and goes on to twice as many only where
    twice the activations would fit; light memory is for where one image does not.
    """
    every, room = ladder(settings, processes), SAFETY * limit_gb
    alike = [one for one in every if one.memory == settings.memory]
    for chosen in alike[:1] + [one for one in every if one.memory != settings.memory]:
        before, needed = peak(chosen)
        if needed <= room:
            break
    else:
        raise SettingError(
            f"--memory {limit_gb:g}g: a training step needs {needed:.1f} GB even with {said(chosen, processes)}; give at least "
            f"{needed / SAFETY:.1f}g, or train a smaller network, such as --set network=prior."
        )
    best = chosen, needed
    for more in alike[1:] if chosen is alike[0] else ():
        if before + 2 * (needed - before) > room:
            break
        before, needed = peak(more)
        if needed > room:
            break
        best = more, needed
    return best[0], f"{said(best[0], processes)}, for which a step was measured to need {best[1]:.2f} of {limit_gb:g} GB"


def peak_of(run: Callable[[], object], device: str) -> tuple[float, float]:
    """Gigabytes before `run()` and at most while it runs: of this process, or of its tensors on a GPU."""
    give_back()
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
        found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found:
        return float(found[1]) * 1024
    import resource
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1.0 if sys.platform == "darwin" else 1024.0)
