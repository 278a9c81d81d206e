"""The avatar's record, avatar.json: what a drive has to know of it, and where it came from."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.head_frame import HeadFrame
from pipelines.artifacts.avatar_record import (
    PAIRS,
    WEIGHTS,
    AvatarRecord,
    ExpressionRange,
    FrameRecord,
    Origin,
    PriorOrigin,
    SamplesPerRay,
    hashed,
    save_avatar_record,
)
from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.held_out import HeldOut, held_out_of
from pipelines.artifacts.joined_dataset import Joined
from pipelines.artifacts.origins import origin_of
from pipelines.avatar.view_limits import view_limits_of
from pipelines.face.expression import calibrate, rest_of, space_names
from pipelines.provenance.consent import consent_in
from pipelines.train.appearance import Appearance
from pipelines.train.inputs import ExpressionSpace, TrainInputs

FRONTAL_DEG, LEAST_FRONTAL = 25.0, 20
"""Where expressions are read reliably, and how many such frames a range is taken from."""
RARE = 1
"""Frames beyond the end of a channel's range: one could be the tracker's mistake, two are a movement."""


def write_record(inputs: TrainInputs, appearance: Appearance, expression: np.ndarray) -> None:
    """`expression` [P,E] is what the expression map was taught, in the inputs' space; all weights lie in the folder."""
    prior, dataset, settings, config = inputs.prior, inputs.dataset, inputs.settings, appearance.generator.config
    frame, (first, *added) = inputs.framing.frame, inputs.captures
    record = AvatarRecord(
        family=prior.family, config=asdict(config), image_size=config.image_size,
        crop_extent=frame.crop_extent, frame=frame_of(frame), frontal_camera=tuple(inputs.frontal.label()[0].tolist()),
        sampling=SamplesPerRay(coarse=settings.finetune.coarse, fine=settings.finetune.fine),
        expression=range_of(inputs.space, expression, dataset), torso=settings.torso,
        consent=consent_in(first), capture=origin_of(first),
        view_limits=view_limits_of(dataset.world_from_camera[dataset.rows("train")]),
        prior=PriorOrigin(name=prior.name, sha256=prior.sha256, license=prior.license, origin=prior.origin),
        added=tuple(source_of(capture) for capture in added), held_out=held_out(inputs),
        weights=hashed(inputs.folder, (*WEIGHTS, PAIRS)),
    )  # fmt: skip
    save_avatar_record(inputs.folder, record)


def held_out(inputs: TrainInputs) -> tuple[HeldOut, ...]:
    """Of every capture, in their order."""
    parts = inputs.dataset.parts if isinstance(inputs.dataset, Joined) else (inputs.dataset,)
    return tuple(map(held_out_of, parts))


def frame_of(frame: HeadFrame) -> FrameRecord:
    """A head frame, as it is recorded."""
    rows: Any = frame.prior_from_head.tolist()
    return FrameRecord(prior_from_head=rows, matte_region=frame.matte_region, crop_center=frame.crop_center)


def range_of(space: ExpressionSpace, expression: np.ndarray, dataset: Dataset) -> ExpressionRange:
    """Rest, range, mean and spread: of what renders show, scores [P,E], and of what the training frames show.

    What the person filmed but rarely, such as shut lids, is in the range too: the avatar's filmed frames show it.
    """
    channels, filmed, names = calibrate(expression, np.ones(len(expression), bool)), frontal_rows(dataset), space_names(space)
    rest, low, high = channels.neutral, channels.low, channels.high
    if len(filmed) >= LEAST_FRONTAL:
        scores = dataset.expression(space)[filmed]
        rest = rest_of(scores, dataset.openings()[filmed, 0], names, rest)
        edges = np.sort(scores, axis=0)
        low, high = np.minimum(low, edges[RARE]), np.maximum(high, edges[-1 - RARE])
    low, high = np.minimum(low, rest), np.maximum(high, rest)
    neutral, low, high, mean, std = (tuple(part.tolist()) for part in (rest, low, high, expression.mean(0), expression.std(0)))
    return ExpressionRange(space=space, names=names, neutral=neutral, low=low, high=high, mean=mean, std=std)


def frontal_rows(dataset: Dataset) -> np.ndarray:
    """Training frames whose landmarks can be trusted: the head is turned by less than FRONTAL_DEG."""
    rows = dataset.rows("train")
    away = np.degrees(np.arccos(np.clip(-dataset.world_from_camera[rows, 2, 2], -1, 1)))
    return rows[away < FRONTAL_DEG]


def source_of(capture: Path) -> Origin:
    """Which capture this is, and what its person agreed to."""
    return replace(origin_of(capture), consent=consent_in(capture))
