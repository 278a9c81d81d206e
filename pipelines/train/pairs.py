"""Pairs of latent and expression, labeled on the generator's own near-frontal renders (GAN-Avatar section 3.2).

The tracker works best on frontal faces, and the generator can show every latent frontally; so expressions are measured on its
renders, not on the training frames.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from models.camera import Camera
from models.generator import Generator
from models.heads.expression_map import broadcast
from models.rendering.sampling import Sampling
from pipelines.artifacts.prior import PriorCodes
from pipelines.avatar.portrait import over_gray
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, write_arrays
from pipelines.core.stage import Progress
from pipelines.engine.keyed_random import keyed
from pipelines.media.pixels import to_bytes
from pipelines.train.settings import PairSettings

CHUNK = 50
"""Latents rendered and tracked between two files, so that a killed run repeats at most this many."""


@dataclass(frozen=True, kw_only=True)
class Pairs:
    w: np.ndarray
    """[P,w_dim]"""
    expression: np.ndarray
    """[P,E] raw scores."""
    held_out: np.ndarray
    """[P] bool: kept out of training."""
    anchor: np.ndarray
    """[P] bool: measured on a training frame instead of a render."""
    lost: int
    """Latents whose render showed the tracker no face."""


def make_pairs(
    generator: Generator, w: Tensor, frontal: Camera, label: "Label", settings: PairSettings, *, seed: int, folder: Path,
    how: Sampling, progress: Progress,
) -> Pairs:  # fmt: skip
    """Render w [P,w_dim] frontally and measure each; UnusableMaterial when most renders show the tracker no face."""
    rows: list[np.ndarray] = []
    with progress.task("labeling renders", len(w)) as task:
        for first in range(0, len(w), CHUNK):
            part = folder / "pairs" / f"{first:05d}.npz"
            if not part.exists():
                write_arrays(part, expression=label_chunk(generator, w[first : first + CHUNK], frontal, label, settings, how))
            rows.append(read_arrays(part)["expression"])
            task.advance(len(w[first : first + CHUNK]))
    expression = np.concatenate(rows)
    seen = np.isfinite(expression).all(1)
    if seen.sum() < max(20, 0.3 * len(w)):
        raise UnusableMaterial(
            f"the tracker finds a face in only {seen.sum()} of {len(w)} renders of the avatar: it is not trained "
            "far enough. Give it a longer --budget, or a capture in which the face is larger and sharper."
        )
    held_out = torch.rand(len(w), generator=keyed(seed, 0, "held-out pairs")).numpy() < settings.held_out
    return Pairs(
        w=w.cpu().numpy()[seen], expression=expression[seen], held_out=held_out[seen], anchor=np.zeros(int(seen.sum()), bool),
        lost=int((~seen).sum()),
    )  # fmt: skip


def with_anchors(pairs: Pairs, anchors: tuple[np.ndarray, np.ndarray]) -> Pairs:
    """The pairs, followed by latents [A,w_dim] and expressions [A,E] of training frames; none of these is held out."""
    w, expression = anchors
    none, every = np.zeros(len(w), bool), np.ones(len(w), bool)
    return Pairs(
        w=np.concatenate([pairs.w, w]), expression=np.concatenate([pairs.expression, expression]),
        held_out=np.concatenate([pairs.held_out, none]), anchor=np.concatenate([pairs.anchor, every]), lost=pairs.lost,
    )  # fmt: skip


def propose(generator: Generator, latents: Tensor, settings: PairSettings, count: int, seed: int) -> Tensor:
    """w [count,w_dim]: the fitted latents and steps along their principal directions, or mapping(z) truncated."""
    random = keyed(seed, 0, "pairs")
    if settings.source == "sampled":
        z = torch.randn(count, generator.latent.z_dim, generator=random).to(latents.device)
        with torch.no_grad():
            return generator.mapping(z, truncation=settings.truncation)[:, 0]
    mean = latents.mean(0)
    _, scale, directions = torch.linalg.svd(latents - mean, full_matrices=False)
    kept = min(settings.directions, len(scale))
    step = scale[:kept] / max(len(latents) - 1, 1) ** 0.5 * settings.spread
    extra = max(count - len(latents), 0)
    base = latents[torch.randint(len(latents), (extra,), generator=random)]
    moved = base + (torch.randn(extra, kept, generator=random).to(latents.device) * step) @ directions[:kept]
    fitted = latents if len(latents) <= count else latents[torch.linspace(0, len(latents) - 1, count).round().long()]
    return torch.cat([fitted, moved])


def unfilmed(person: Tensor, codes: PriorCodes, count: int, seed: int) -> Tensor:
    """w [count,w_dim]: the person making faces of the prior's people, along its named directions; half of them fainter.

    Expressions that were never filmed are reached, if not in the person's own way.
    """
    random = keyed(seed, 0, "unfilmed")
    chosen = torch.randint(len(codes.labels), (count,), generator=random)
    strength = torch.where(torch.arange(count) % 2 == 0, 1.0, torch.rand(count, generator=random))
    labels = strength[:, None] * torch.from_numpy(codes.labels)[chosen]
    return person + (labels @ torch.from_numpy(codes.directions)).to(person)


def label_chunk(
    generator: Generator, w: Tensor, frontal: Camera, label: "Label", settings: PairSettings, how: Sampling
) -> np.ndarray:
    """Expressions [P,E] of renders of w [P,w_dim]; a row of NaN where the tracker finds no face."""
    return np.stack([label(render_face(generator, one, frontal, settings.render_px, how)) for one in w])


def render_face(generator: Generator, w: Tensor, camera: Camera, size: int, how: Sampling) -> np.ndarray:
    """uint8 [size,size,3] over mid gray, enlarged for the tracker."""
    import cv2

    image = over_gray(generator, broadcast(w[None], generator.latent.num_ws), camera, how)[0]
    return cv2.resize(to_bytes(image), (size, size), interpolation=cv2.INTER_CUBIC)


class Label(Protocol):
    """Image uint8 [S,S,3] -> raw scores [E] of the expressions `names`, NaN where there is no face."""

    @property
    def names(self) -> Sequence[str]: ...
    def __call__(self, image: np.ndarray) -> np.ndarray: ...


class Labeler:
    """Image -> raw expression scores in one space, by the tracker; a context manager, since the tracker holds native memory."""

    def __init__(self, space: str, canonical: np.ndarray):
        self.space = space
        self.canonical = canonical

    def __enter__(self) -> "Labeler":
        from pipelines.assets.store import find_weight
        from pipelines.face.expression import space_names
        from pipelines.face.tracker import FaceTracker

        self.names = space_names(self.space)
        weights = find_weight("face_landmarker.task") if self.space == "blendshapes" else None
        self.open = ExitStack()
        self.tracker = self.open.enter_context(FaceTracker(video=False, blendshapes=weights))
        return self

    def __exit__(self, *error: object) -> None:
        self.open.close()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        from pipelines.face.expression import expression

        landmarks = self.tracker.track(image)
        if landmarks is None:
            return np.full(len(self.names), np.nan, np.float32)
        return expression(landmarks, self.canonical, self.space)
