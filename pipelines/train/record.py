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
from pipelines.artifacts.held_out import HeldOut, held_out_of
from pipelines.artifacts.joined_dataset import Joined
from pipelines.artifacts.origins import origin_of
from pipelines.avatar.view_limits import view_limits_of
from pipelines.face.expression import calibrate, space_names
from pipelines.provenance.consent import consent_in
from pipelines.train.appearance import Appearance
from pipelines.train.inputs import ExpressionSpace, TrainInputs


def write_record(inputs: TrainInputs, appearance: Appearance, expression: np.ndarray) -> None:
    """`expression` [P,E] is what the expression map was taught, in the inputs' space; all weights lie in the folder."""
    prior, dataset, settings, config = inputs.prior, inputs.dataset, inputs.settings, appearance.generator.config
    frame, (first, *added) = inputs.framing.frame, inputs.captures
    record = AvatarRecord(
        family=prior.family, config=asdict(config), image_size=config.image_size,
        crop_extent=frame.crop_extent, frame=frame_of(frame), frontal_camera=tuple(inputs.frontal.label()[0].tolist()),
        sampling=SamplesPerRay(coarse=settings.finetune.coarse, fine=settings.finetune.fine),
        expression=range_of(inputs.space, expression), torso=settings.torso,
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


def range_of(space: ExpressionSpace, expression: np.ndarray) -> ExpressionRange:
    """Rest, range, mean and spread of scores [P,E]."""
    channels = calibrate(expression, np.ones(len(expression), bool))
    neutral, low, high, mean, std = (
        tuple(part.tolist()) for part in (channels.neutral, channels.low, channels.high, expression.mean(0), expression.std(0))
    )
    return ExpressionRange(space=space, names=space_names(space), neutral=neutral, low=low, high=high, mean=mean, std=std)


def source_of(capture: Path) -> Origin:
    """Which capture this is, and what its person agreed to."""
    return replace(origin_of(capture), consent=consent_in(capture))
