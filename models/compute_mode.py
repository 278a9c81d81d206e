"""How a network computes, never what: the precision of its convolutions and what backward remembers (spec 3.3 and 3.5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True, kw_only=True)
class Compute:
    """The default is exact and fast; images of another Compute differ by rounding only."""

    dtype: torch.dtype = torch.float32
    """Of convolutions and their activations; styles, norms, skip images, rays and compositing are always float32. bfloat16:
    about 0.8 gray levels rms off; float16 (a GPU): 0.07."""
    recompute: bool = False
    """Backward computes large activations again instead of keeping them: a third of the memory, a fifth more time."""

    def run(self, function: Callable[..., Any], *inputs: Any) -> Any:
        """function(*inputs), its activations forgotten under `recompute` where gradients are asked for."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(function, *inputs, use_reentrant=False)
        return function(*inputs)


EXACT = Compute()
