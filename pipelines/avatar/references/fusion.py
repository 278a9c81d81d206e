"""Filmed frames laid over a render: image-based rendering with the generator as geometry.

Each reference is a filmed frame F with the avatar's own render R of the same moment. The optical flow between the wanted render
and R holds for F too: both renders are the avatar's, so that light, identity and its mistakes cancel. Warped so, the frames
differ by a pixel or two, where the avatar misplaces things; a second flow lays each onto their common picture, so that lashes
and hair meet where they are averaged. Then, in premultiplied colors,

    low   = render + sum_k b_k (F_k - R_k)                 at the render's size: right in color and light
    fused = sum_k a_k F_k + blurred(low - sum_k a_k F_k)   at the output's size: hair, lashes and pores as filmed

with weights a (narrow) and b (broad) by the agreement of the warped render with the wanted one, by view, and in mouth, eyes and
brows by the expression that is asked for. Where no warped render agrees, the render keeps its share of the picture.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from pipelines.avatar.references.bank import Bank
from pipelines.avatar.references.choice import Choice
from pipelines.avatar.references.flow import (
    blurred,
    chained,
    flow_between,
    gray,
    levels,
    limited,
    resized_flow,
    sized,
    texture,
    warped,
)  # fmt: skip

FLOW_PX = 256
"""Side at which flow is computed."""
AGREEMENT = 0.012
"""Standard deviation, over the side, over which renders are compared."""
BROAD, NARROW = 1e-3, 1e-4
"""Squared error of a warped render at which its reference counts e times less, for the low and for the high band."""
DOUBT = 0.02
"""Squared error of the best warped render at which the wanted render has half of the picture."""
BAND = 0.008
"""Standard deviation, over the side, beyond which color and light come from the low band."""
EXPRESSION, VIEW = 1.0, 0.15
"""How lacks of expression (inside their region) and of view count beside agreement."""
COMMON_PX = 3.0
"""No frame is moved further than this onto the common picture, in pixels of FLOW_PX."""


@dataclass(kw_only=True)
class Fusion:
    """The bank, ready for pictures of one size."""

    bank: Bank
    size: int
    _kept: dict[tuple[str, int], np.ndarray] = field(default_factory=dict, repr=False)

    def __call__(self, head: np.ndarray, choice: Choice, masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The fused head [size,size,4], premultiplied, and its share [size,size,1] of the picture.

        head: float32 [s,s,4] premultiplied render at the generator's size; masks: float32 [s,s] in 0..1 by region.
        """
        small, rows = len(head), [int(row) for row in choice.rows]
        wanted = gray(sized(head, FLOW_PX))
        flows = [flow_between(wanted, self._gray(row)) for row in rows]
        coarse = [resized_flow(flow, small) for flow in flows]
        renders = [warped(self._render(row), flow) for row, flow in zip(rows, coarse, strict=True)]
        errors = np.stack([blurred(((render - head) ** 2).mean(-1), AGREEMENT * small) for render in renders])
        prior = prior_weights(choice, masks)
        films = [warped(self._film(row, small), flow) for row, flow in zip(rows, coarse, strict=True)]
        lacking = [film - render for film, render in zip(films, renders, strict=True)]
        low = head + np.einsum("kij,kijc->ijc", weights(errors, prior, BROAD), np.stack(lacking))
        sharp = self._mixed(self._laid_together(flows, rows, low), rows, weights(errors, prior, NARROW))
        fused = sharp + sized(blurred(low - sized(sharp, small), BAND * small), self.size)
        trust = 1 / (1 + (errors.min(0) / DOUBT) ** 2)
        return within_alpha(fused), np.clip(sized(trust, self.size), 0, 1)[..., None]

    def _laid_together(self, flows: list[np.ndarray], rows: list[int], common: np.ndarray) -> list[np.ndarray]:
        """The flows, continued so that every warped frame lies on the common picture [s,s,4]."""
        onto = texture(levels(sized(common, FLOW_PX)))
        moved = []
        for flow, row in zip(flows, rows, strict=True):
            step = flow_between(onto, texture(warped(self._levels(row), flow)))
            moved.append(chained(limited(step, COMMON_PX), flow))
        return moved

    def _mixed(self, flows: list[np.ndarray], rows: list[int], shares: np.ndarray) -> np.ndarray:
        """float32 [size,size,4]: the warped frames by their shares [K,s,s]."""
        mixed = np.zeros((self.size, self.size, 4), np.float32)
        for flow, row, share in zip(flows, rows, shares, strict=True):
            film = warped(self.bank.film(row, self.size), resized_flow(flow, self.size))
            mixed += sized(share, self.size)[..., None] * film
        return mixed / 255

    def _render(self, row: int) -> np.ndarray:
        return self.bank.renders[row].astype(np.float32) / 255

    def _film(self, row: int, size: int) -> np.ndarray:
        return self._once(f"film {size}", row, lambda: self.bank.film(row, size).astype(np.float32) / 255)

    def _gray(self, row: int) -> np.ndarray:
        return self._once("gray", row, lambda: gray(sized(self._render(row), FLOW_PX)))

    def _levels(self, row: int) -> np.ndarray:
        return self._once("levels", row, lambda: levels(self.bank.film(row, FLOW_PX).astype(np.float32) / 255))

    def _once(self, kind: str, row: int, make: Callable[[], np.ndarray]) -> np.ndarray:
        if (kind, row) not in self._kept:
            self._kept[kind, row] = make()
        return self._kept[kind, row]


def prior_weights(choice: Choice, masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """float32 [K,s,s] before renders are compared: presence and view everywhere, expression in its region."""
    penalty = VIEW * choice.lack["view"][:, None, None]
    for region, mask in masks.items():
        penalty = penalty + EXPRESSION * choice.lack[region][:, None, None] * mask
    return (choice.presence[:, None, None] * np.exp(penalty.min(0) - penalty)).astype(np.float32)


def weights(errors: np.ndarray, prior: np.ndarray, scale: float) -> np.ndarray:
    """float32 [K,s,s] that sum to 1: prior * exp(-errors / scale)."""
    share = prior * np.exp((errors.min(0) - errors) / scale)
    return share / np.maximum(share.sum(0), 1e-12)


def within_alpha(picture: np.ndarray) -> np.ndarray:
    """A premultiplied picture [S,S,4] with alpha in 0..1 and no color beyond its alpha."""
    alpha = np.clip(picture[..., 3:], 0, 1)
    return np.concatenate([np.clip(picture[..., :3], 0, alpha), alpha], axis=-1)
