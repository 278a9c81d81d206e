"""Filmed frames laid over a render: image-based rendering with the generator as geometry.

Each reference is a filmed frame F_k with the avatar's own render R_k of the same moment. The optical flow between the wanted
render and R_k holds for F_k too: both renders are the avatar's, so that light, identity and its mistakes cancel. The warped
frames differ by a pixel or two, where the avatar misplaces things; a second flow moves each onto their common picture, so that
lashes and hair meet when they are averaged. Then, in premultiplied colors,

    low  = render + sum_k b_k (F_k - R_k)        at the render's size: what the avatar gets wrong in color and light
    high = sum_k a_k (F_k - its low band)        at the output's size: hair, lashes, pores as filmed

with weights per pixel by agreement of the warped render with the wanted one, by view, and in mouth, eyes and brows by the
expression that is asked for. Where nothing agrees the render stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.avatar.references.bank import Bank
from pipelines.avatar.references.choice import Choice

FLOW_PX = 256
"""Side at which flow is computed."""
FLOW_BLUR = 2.0
AGREEMENT_BLUR = 0.012
"""Standard deviation, over the side, over which renders are compared."""
BROAD, NARROW = 1e-3, 1e-4
"""Squared error of a warped render at which a reference counts e times less, for the low and for the high band."""
TRUST = 0.02
"""Squared error of the best warped render at which the render itself has half of the picture."""
BAND = 0.008
"""Standard deviation, over the side, of the band that is taken from the render."""
REGION_WEIGHT, VIEW_WEIGHT = 1.0, 0.15
"""How the lack of expression (inside a region) and of view weigh against agreement."""
POWER = 1
CONSENSUS_PX = 3.0
"""No warped frame is moved further than this onto the common picture, in pixels of FLOW_PX."""
TEXTURE = 0.03
"""Standard deviation, over the side, below which brightness is left out where frames are laid onto each other."""


@dataclass(kw_only=True)
class Fusion:
    """The bank, prepared for one size of the output."""

    bank: Bank
    size: int
    _cache: dict[tuple[str, int], np.ndarray] = field(default_factory=dict, repr=False)

    def __call__(self, head: np.ndarray, choice: Choice, masks: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The fused head [size,size,4] premultiplied and its share [size,size,1] of the picture.

        head: float32 [s,s,4] premultiplied render at the generator's size; masks: float32 [s,s] in 0..1 by region.
        """
        import cv2

        small = len(head)
        wanted = gray(enlarged(head, FLOW_PX))
        flows = [self.flow(wanted, int(row)) for row in choice.rows]
        coarse = [cv2.resize(flow, (small, small), interpolation=cv2.INTER_AREA) * (small / FLOW_PX) for flow in flows]
        renders = np.stack([warped(self.render(row), flow) for row, flow in zip(choice.rows, coarse, strict=True)])
        errors = np.stack([blurred(((render - head) ** 2).mean(-1), AGREEMENT_BLUR * small) for render in renders])
        prior = prior_weight(choice, masks)
        broad, narrow = weights(errors, prior, BROAD), weights(errors, prior**POWER, NARROW)
        films = np.stack([warped(self.low_film(row, small), flow) for row, flow in zip(choice.rows, coarse, strict=True)])
        low = head + (broad[..., None] * (films - renders)).sum(0)
        flows = self.agreed(flows, choice.rows, low)
        mixed = np.zeros((self.size, self.size, 4), np.float32)
        for row, flow, weight in zip(choice.rows, flows, narrow, strict=True):
            share = enlarged(weight, self.size)[..., None]
            mixed += share * warped(self.bank.film(int(row), self.size), enlarged_flow(flow, self.size))
        mixed /= 255
        band = cv2.resize(mixed, (small, small), interpolation=cv2.INTER_AREA)
        fused = mixed + enlarged(blurred(low - band, max(BAND * small, 0.1)), self.size)
        trust = 1 / (1 + (errors.min(0) / TRUST) ** 2)
        share = np.clip(enlarged(blurred(trust, 0.01 * small), self.size), 0, 1)[..., None]
        alpha = np.clip(fused[..., 3:], 0, 1)
        return np.concatenate([np.clip(fused[..., :3], 0, alpha), alpha], axis=-1), share

    def flow(self, wanted: np.ndarray, row: int) -> np.ndarray:
        """float32 [FLOW_PX,FLOW_PX,2] from the wanted render to the render of a reference."""
        return blurred(flow_engine().calc(wanted, self.kept("gray", row, lambda: gray(enlarged(self.render(row), FLOW_PX))), None), FLOW_BLUR)

    def agreed(self, flows: list[np.ndarray], rows: np.ndarray, low: np.ndarray) -> list[np.ndarray]:
        """The flows, so changed that the warped frames lie on their common picture `low` [s,s,4]."""
        common = texture(gray_levels(enlarged(low, FLOW_PX)))
        return [self.moved(flow, int(row), common) for flow, row in zip(flows, rows, strict=True)]

    def moved(self, flow: np.ndarray, row: int, common: np.ndarray) -> np.ndarray:
        film = warped(self.kept("texture", row, lambda: gray_levels(self.bank.film(row, FLOW_PX).astype(np.float32) / 255)), flow)
        step = blurred(flow_engine().calc(common, texture(film), None), FLOW_BLUR)
        length = np.linalg.norm(step, axis=-1, keepdims=True)
        step *= np.minimum(1, CONSENSUS_PX / np.maximum(length, 1e-3))
        return step + warped(flow, step)

    def render(self, row: int) -> np.ndarray:
        """float32 [s,s,4] premultiplied."""
        return self.bank.renders[row].astype(np.float32) / 255

    def low_film(self, row: int, size: int) -> np.ndarray:
        return self.bank.film(int(row), size).astype(np.float32) / 255

    def kept(self, kind: str, row: int, make: Any) -> np.ndarray:
        if (kind, row) not in self._cache:
            self._cache[kind, row] = make()
        return self._cache[kind, row]


def prior_weight(choice: Choice, masks: Mapping[str, np.ndarray]) -> np.ndarray:
    """float32 [K,s,s]: presence and the lack of view everywhere, the lack of expression in the regions."""
    first = next(iter(masks.values()))
    penalty = np.repeat(VIEW_WEIGHT * choice.lack["view"], first.size).reshape(-1, *first.shape)
    for region, mask in masks.items():
        penalty = penalty + REGION_WEIGHT * choice.lack[region][:, None, None] * mask
    return (choice.presence[:, None, None] * np.exp(-(penalty - penalty.min(0)))).astype(np.float32)


def weights(errors: np.ndarray, prior: np.ndarray, scale: float) -> np.ndarray:
    """float32 [K,s,s] that sum to 1."""
    share = prior * np.exp(-(errors - errors.min(0)) / scale)
    return share / np.maximum(share.sum(0), 1e-9)


def flow_engine() -> Any:
    import cv2

    return cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def gray_levels(picture: np.ndarray) -> np.ndarray:
    """float32 [H,W] in 0..255 of a premultiplied picture [H,W,4] over mid gray."""
    return 255 * (picture[..., :3] @ np.array([0.299, 0.587, 0.114], np.float32) + 0.5 * (1 - picture[..., 3]))


def gray(picture: np.ndarray) -> np.ndarray:
    return np.clip(gray_levels(picture), 0, 255).astype(np.uint8)


def texture(levels: np.ndarray) -> np.ndarray:
    """uint8 [H,W]: gray levels without what varies slowly."""
    return np.clip(128 + 2 * (levels - blurred(levels, TEXTURE * len(levels))), 0, 255).astype(np.uint8)


def blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    import cv2

    return cv2.GaussianBlur(values, (0, 0), sigma)


def enlarged(values: np.ndarray, size: int) -> np.ndarray:
    import cv2

    return values if len(values) == size else cv2.resize(values, (size, size), interpolation=cv2.INTER_CUBIC)


def enlarged_flow(flow: np.ndarray, size: int) -> np.ndarray:
    import cv2

    return cv2.resize(flow, (size, size), interpolation=cv2.INTER_LINEAR) * (size / len(flow))


def warped(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """The picture [H,W,C] read at x + flow(x); the edge is repeated."""
    import cv2

    rows, columns = np.indices(flow.shape[:2], dtype=np.float32)
    return cv2.remap(picture, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


POINTS = {
    "mouth": (61, 291, 0, 17, 13, 14, 78, 308, 152), "left eye": (362, 263, 386, 374), "right eye": (33, 133, 159, 145),
    "brows": (70, 63, 105, 66, 107, 336, 296, 334, 293, 300),
}  # fmt: skip
GROWTH = {"mouth": 0.6, "left eye": 1.0, "right eye": 1.0, "brows": 0.8}
"""How far a region reaches beyond its points, over the distance of the eyes' middles / 2."""


def region_masks(
    landmarks: np.ndarray, world_from_camera: np.ndarray, intrinsics: np.ndarray, size: int
) -> dict[str, np.ndarray]:
    """float32 [size,size] by region, 1 at its points and softly 0 around them, of landmarks [478,3] at rest."""
    import cv2

    from pipelines.geometry.rigid import project

    points = project(world_from_camera, intrinsics, landmarks)[:, :2] * size
    unit = 0.5 * np.linalg.norm(points[list(POINTS["left eye"])].mean(0) - points[list(POINTS["right eye"])].mean(0))
    result = {}
    for region, indices in POINTS.items():
        mask = np.zeros((size, size), np.float32)
        hull = cv2.convexHull(points[list(indices)].astype(np.float32)).round().astype(np.int32)
        cv2.fillConvexPoly(mask, hull, 1.0)
        reach = max(1, round(0.5 * GROWTH[region] * unit))
        disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        result[region] = blurred(cv2.dilate(mask, disk), 0.4 * reach)
    return result
