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
    Part,
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
    warped_part,
    weighted,
)

FLOW_PX = 256
"""Side at which flow is computed."""
AGREEMENT = 0.012
"""Standard deviation, over the side, over which renders are compared."""
BROAD, NARROW = 1e-3, 6e-5
"""Squared error of a warped render at which its reference counts e times less, for the low and for the high band."""
DOUBT = 0.02
"""Squared error of the best warped render at which the wanted render has half of the picture."""
BAND = 0.008
"""Standard deviation, over the side, beyond which color and light come from the low band."""
EXPRESSION, VIEW = 1.0, 0.15
"""How lacks of expression (inside their region) and of view count beside agreement."""
LEAST_PRIOR = 0.05
"""A reference that nowhere counts for so much beside the best one is not warped at all."""
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
        small, prior = len(head), prior_weights(choice, masks)
        counts = prior.max((1, 2)) > LEAST_PRIOR
        prior, rows = prior[counts], [int(row) for row in choice.rows[counts]]
        wanted = gray(sized(head, FLOW_PX))
        flows = [flow_between(wanted, self._gray(row)) for row in rows]
        coarse = [resized_flow(flow, small) for flow in flows]
        renders = [warped(self._render(row), flow) for row, flow in zip(rows, coarse, strict=True)]
        errors = np.stack([blurred(((render - head) ** 2).mean(-1), AGREEMENT * small) for render in renders])
        errors = of_regions(errors, masks)
        films = [warped(self._film(row, small), flow) for row, flow in zip(rows, coarse, strict=True)]
        lacking = [film - render for film, render in zip(films, renders, strict=True)]
        low = head + np.einsum("kij,kijc->ijc", weights(errors, prior, BROAD), np.stack(lacking))
        sharp = self._mixed(flows, rows, low, weights(errors, prior, NARROW))
        fused = sharp + sized(blurred(low - sized(sharp, small), BAND * small), self.size)
        trust = 1 / (1 + (errors.min(0) / DOUBT) ** 2)
        return within_alpha(fused), np.clip(sized(trust, self.size), 0, 1)[..., None]

    def _mixed(self, flows: list[np.ndarray], rows: list[int], common: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """float32 [size,size,4]: the frames, laid onto the common picture [s,s,4], by their shares [K,s,s]."""
        mixed, onto = np.zeros((self.size, self.size, 4), np.float32), texture(levels(sized(common, FLOW_PX)))
        for flow, row, share in zip(flows, rows, shares, strict=True):
            part = support(share, self.size)
            if part[0].stop:
                laid = resized_flow(self._laid_onto(onto, flow, row), self.size)
                film = warped_part(self.bank.film(row, self.size), laid, part)
                mixed[part] += weighted(film, sized(share, self.size)[part])
        return mixed / 255

    def _laid_onto(self, onto: np.ndarray, flow: np.ndarray, row: int) -> np.ndarray:
        """The flow, continued so that the warped frame lies on a picture whose texture is `onto`."""
        step = flow_between(onto, warped(self._texture(row), flow))
        return chained(limited(step, COMMON_PX), flow)

    def _render(self, row: int) -> np.ndarray:
        return self.bank.renders[row].astype(np.float32) / 255

    def _film(self, row: int, size: int) -> np.ndarray:
        return self._once(f"film {size}", row, lambda: self.bank.film(row, size).astype(np.float32) / 255)

    def _gray(self, row: int) -> np.ndarray:
        return self._once("gray", row, lambda: gray(sized(self._render(row), FLOW_PX)))

    def _texture(self, row: int) -> np.ndarray:
        return self._once("texture", row, lambda: texture(levels(self.bank.film(row, FLOW_PX).astype(np.float32) / 255)))

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


def of_regions(errors: np.ndarray, masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """Errors [K,s,s] that are one number in each region: a mouth is one frame's, not pieces of several."""
    for mask in masks.values():
        mean = (errors * mask).sum((1, 2), keepdims=True) / max(float(mask.sum()), 1e-6)
        errors = errors + mask * (mean - errors)
    return errors


def weights(errors: np.ndarray, prior: np.ndarray, scale: float) -> np.ndarray:
    """float32 [K,s,s] that sum to 1: prior * exp(-errors / scale)."""
    share = prior * np.exp((errors.min(0) - errors) / scale)
    return share / np.maximum(share.sum(0), 1e-12)


def support(share: np.ndarray, size: int) -> Part:
    """Where in a picture of `size` px a share [s,s] is more than nothing, with two of its pixels around."""
    grow, places = size / len(share), np.argwhere(share > 1e-3)
    if not len(places):
        return slice(0, 0), slice(0, 0)
    low, high = np.maximum(places.min(0) - 2, 0) * grow, np.minimum(places.max(0) + 3, len(share)) * grow
    return slice(int(low[0]), int(np.ceil(high[0]))), slice(int(low[1]), int(np.ceil(high[1])))


def within_alpha(picture: np.ndarray) -> np.ndarray:
    """A premultiplied picture [S,S,4] with alpha in 0..1 and no color beyond its alpha."""
    alpha = np.clip(picture[..., 3:], 0, 1)
    return np.concatenate([np.clip(picture[..., :3], 0, alpha), alpha], axis=-1)
