"""The steps `pairs` and `expression_map`: what the finished generator's faces do, and the map from that back to latents.

GAN-Avatar section 3.2: latents are rendered from the front, their expressions measured, and a small network learns the inverse.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from pipelines.artifacts.avatar_record import PAIRS
from pipelines.artifacts.prior import load_codes
from pipelines.core.files import read_arrays, write_arrays, write_bytes
from pipelines.engine.microbatches import sampling
from pipelines.train.appearance import Appearance, plain_state
from pipelines.train.expression_map import fit_expression_map
from pipelines.train.inputs import TrainInputs
from pipelines.train.pairs import Pairs, make_pairs, propose, unfilmed, with_anchors

MAP = "expression_map.safetensors"
SMALL_JAW_RANGE = 0.2
"""Opening of the jaw, from the 2nd to the 98th percentile of the renders, below which speech looks mumbled."""


def label_pairs(inputs: TrainInputs, appearance: Appearance, count: int) -> dict[str, Any]:
    """Latents and the expressions of their near-frontal renders; figures of `count` pairs and the anchors beside them."""
    settings = inputs.settings
    with inputs.tools.labeler(inputs.space, inputs.prior.landmarks) as label:
        pairs = make_pairs(
            appearance.generator, proposed_latents(inputs, appearance, count), inputs.frontal, label, settings.pairs,
            seed=settings.seed, folder=inputs.folder, how=sampling(settings.finetune, None), progress=inputs.progress,
        )  # fmt: skip
        names = list(label.names)
    if settings.pairs.anchors:
        pairs = with_anchors(pairs, anchors(inputs, appearance.latents.filmed))
    write_arrays(inputs.folder / PAIRS, **asdict(pairs) | {"lost": np.array(pairs.lost)})
    low, high = np.percentile(pairs.expression[~pairs.anchor], [2, 98], axis=0)
    jaw = float((high - low)[names.index("jawOpen")])
    if jaw < SMALL_JAW_RANGE:
        inputs.warn(
            f"the avatar's mouth opens over a range of only {jaw:.2f} (at least {SMALL_JAW_RANGE} is wanted): "
            "speech will look mumbled. Film yourself opening the mouth wide and talking, or train longer."
        )
    return {
        "pairs": int((~pairs.anchor).sum()), "anchors": int(pairs.anchor.sum()), "lost": pairs.lost, "jaw_range": jaw,
        "space": inputs.space, "names": names,
    }  # fmt: skip


def proposed_latents(inputs: TrainInputs, appearance: Appearance, count: int) -> Tensor:
    """[count,W] to render: the frames' own and such near them, and where the prior has names, what was never filmed."""
    codes, settings = load_codes(inputs.prior), inputs.settings
    generator, latents = appearance.generator, torch.from_numpy(appearance.latents.all()).to(inputs.device)
    if codes is None or settings.network == "fresh":
        return propose(generator, latents, settings.pairs, count, settings.seed)
    named = round(settings.pairs.unfilmed * count)
    near = propose(generator, latents, settings.pairs, count - named, settings.seed)
    return torch.cat([near, unfilmed(latents.mean(0), codes, named, settings.seed)])


def anchors(inputs: TrainInputs, latents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the frames' latents [N,W] and tracked expressions, those of frames that see the face from near the front."""
    rows = inputs.dataset.rows("train")
    facing = inputs.dataset.world_from_camera[rows, 2, 2]
    near = facing < -np.cos(np.radians(inputs.settings.pairs.anchor_yaw_deg))
    return latents[near], inputs.expression()[rows][near]


def load_pairs(inputs: TrainInputs) -> Pairs:
    values = read_arrays(inputs.folder / PAIRS)
    return Pairs(**{**values, "lost": int(values["lost"])})


def fit_map(inputs: TrainInputs, appearance: Appearance, pairs: Pairs) -> dict[str, Any]:
    """The map e -> w; how much of w it explains."""
    settings = inputs.settings
    network, fit = fit_expression_map(
        pairs, appearance.generator, inputs.frontal, settings.expression_map, seed=settings.seed,
        how=sampling(settings.finetune, None), progress=inputs.progress,
    )  # fmt: skip
    write_bytes(inputs.folder / MAP, save(plain_state(network.state_dict())))
    return {"explained_train": fit.train, "explained_held_out": fit.held_out}
