"""How a step's batch is divided: in micro-batches of one process, and among processes (pipelines.engine.distributed).

Notable choices:
- every random number of a step is drawn for the whole batch, from generators keyed by (seed, step, purpose): which image gets
  which number depends on its place in the batch, never on the micro-batch or the process that computes it;
- terms are divided by the whole batch's weights and counts, so that those of the parts add up to the batch's;
- the discriminator compares the members of a group, `i mod (batch / 4)`: a group is never split between processes.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from models.rendering.sampling import Sampling
from pipelines.engine.distributed import Processes
from pipelines.engine.memory import BatchSettings, batch_limit


class RaySettings(Protocol):
    """How many samples a ray has."""

    @property
    def coarse(self) -> int: ...
    @property
    def fine(self) -> int: ...


def micro_batches(count: int, settings: BatchSettings, processes: Processes) -> list[slice]:
    """Neighbors of a batch of `count`, as many at once as fit: 0:2, 2:4, 4:5 of five by two."""
    size = min(batch_limit(settings, processes.count), max(count // processes.count, 1))
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def group_batches(count: int, members: int, settings: BatchSettings, processes: Processes) -> list[Tensor]:
    """Places in a batch of `count` whose images the discriminator compares, whole groups of `members`, as many as fit.

    Group k of G = count / members is k, k + G, k + 2 G, ...: of eight in groups of four, each alone: 0 2 4 6 and 1 3 5 7. In a
    piece of several groups the order of the places keeps every group together.
    """
    groups = max(count // min(members, count), 1)
    size = max(min(batch_limit(settings, processes.count) // members, groups // processes.count), 1)
    places = torch.arange(count)
    return [places[(places % groups >= first) & (places % groups < first + size)] for first in range(0, groups, size)]


def sampling(settings: RaySettings, random: torch.Generator | None) -> Sampling:
    """Jittered while training, at interval centers when `random` is None."""
    jitter = "random" if random is not None else "mid"
    return Sampling(coarse=settings.coarse, fine=settings.fine, jitter=jitter, generator=random)


def with_uniforms(how: Sampling, images: int, rays: int) -> Sampling:
    """The same with its uniforms [images,rays,samples] drawn now, in the order in which rendering would draw them."""
    coarse = torch.rand((images, rays, how.coarse), generator=how.generator)
    return replace(how, u_coarse=coarse, u_fine=torch.rand((images, rays, how.fine), generator=how.generator))


def slice_of(how: Sampling, part: slice | Tensor, device: torch.device) -> Sampling:
    """The uniforms of a part of the batch."""
    assert how.u_coarse is not None and how.u_fine is not None
    return replace(how, u_coarse=how.u_coarse[part].to(device), u_fine=how.u_fine[part].to(device))


class LossSums:
    """Figures of a step, each the sum over its parts."""

    def __init__(self, names: Iterable[str] = ()):
        self.sums: dict[str, Tensor] = {name: torch.zeros(()) for name in names}

    def add(self, **values: Tensor) -> None:
        for name, value in values.items():
            before = self.sums.get(name)
            self.sums[name] = value.detach() if before is None else before.to(value.device) + value.detach()

    def expect(self, *names: str) -> None:
        """They will be there, 0 where other processes compute them."""
        for name in names:
            self.sums.setdefault(name, torch.zeros(()))

    def total(self, processes: Processes) -> dict[str, float]:
        if not self.sums:
            return {}
        values = torch.stack([value.to(processes.device) for value in self.sums.values()])
        processes.add(values)
        return dict(zip(self.sums, values.tolist(), strict=True))
