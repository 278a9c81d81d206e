"""What changes while EG3D trains, as numbers of the images seen (section 5 and supplement of arXiv 2112.07945; spec 1.14, 2.5).

Notable choices:
- functions of how far a training is, without state: a resumed run needs nothing but its step;
- a person's training begins at the end of most of them (no blur, full raw size, no camera in the mapping); they are here for a
  generator's own training.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

THOUSAND = 1000
"""The papers count in thousands of images, kimg."""


def blur_sigma(images: float, batch: int = 32, start: float = 10.0, fade_kimg: float = 200.0) -> float:
    """Blur of what the discriminator sees, in pixels: `start` to 0 linearly over fade_kimg * batch / 32.

    Batch 32: 10 at the start, 5 after 100,000 images, 0 from 200,000 on; batch 8: 5 after 25,000.
    """
    return start * max(1 - images / (fade_kimg * THOUSAND * batch / 32), 0.0)


def raw_resolution(images: float, start: int = 64, final: int = 128, fade_kimg: float = 1000.0) -> int:
    """Side of the raw image: round(start (1 - a) + final a), a = images / (1000 fade_kimg), at most 1. Odd sides occur.

    64 at the start, 96 after 500,000 images, 65 after 20,000, 128 from a million on.
    """
    share = min(images / (fade_kimg * THOUSAND), 1.0)
    return round(start * (1 - share) + final * share)


def swap_probability(images: float, final: float = 0.5, fade_kimg: float = 1000.0) -> float:
    """Share of generator labels that are another image's (section 4.2): 1 at the start, `final` from a million images on.

    With final 0.5: 0.75 after 500,000 images.
    """
    share = min(images / (fade_kimg * THOUSAND), 1.0)
    return 1 - (1 - final) * share


def swapped(labels: Tensor, probability: float, random: torch.Generator, together: bool = False) -> Tensor:
    """Labels [B,25] for the mapping, of which each is with `probability` its neighbor's; `together`: all or none.

    Main phases decide for every sample, the density regularization once for its batch.
    """
    coins = torch.rand(1 if together else len(labels), 1, generator=random).to(labels.device)
    return torch.where(coins < probability, labels.roll(1, dims=0), labels)


def ema_half_life(batch: int) -> float:
    """10,000 batch / 32 images after which half of the averaged weights is new. Batch 4: 1,250."""
    return 10 * THOUSAND * batch / 32


def ema_decay(batch: int, half_life: float, seen: float, ramp_up: float | None = 0.05) -> float:
    """beta = 0.5^(batch / max(n, 1e-8)), n = min(half_life, ramp_up * images seen); None for no ramp-up, as after a resume.

    Batch 32, half-life 10,000: 0 at first, 0.5^(32 / 320) = 0.93303 after 6,400 images, 0.5^(32 / 10000) = 0.99778 in the end.
    """
    images = half_life if ramp_up is None else min(half_life, ramp_up * seen)
    return 0.5 ** (batch / max(images, 1e-8))


def lazy_adam(learning_rate: float, betas: tuple[float, float], every: int) -> tuple[float, tuple[float, float]]:
    """Learning rate and betas where a regularizer runs every `every` steps: lr m, beta^m with m = every / (every + 1).

    Generator, 0.0025, every 4: 0.002 and 0.99^0.8 = 0.99199. Discriminator, 0.002, every 16: 0.001882, 0.99^0.9412 = 0.99059.
    """
    share = every / (every + 1)
    return learning_rate * share, (betas[0] ** share, betas[1] ** share)


def clean_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """NaN to 0 and infinities to +-1e5, in place: one bad image must not end a training."""
    for parameter in parameters:
        if parameter.grad is not None:
            torch.nan_to_num(parameter.grad, nan=0.0, posinf=1e5, neginf=-1e5, out=parameter.grad)


def r1_gamma(batch: int) -> float:
    """5 * 32 / batch, at most 20, for data nobody has trained on. Batch 32: 5; 16: 10; 8 and below: 20."""
    return min(5.0 * 32 / batch, 20.0)
