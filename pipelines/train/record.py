"""The avatar's record, avatar.json: what a drive has to know of it, and where it came from."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.artifacts.avatar import SCHEMA
from pipelines.artifacts.origins import origin_of
from pipelines.avatar.view_limits import turns_shown
from pipelines.core.files import write_json
from pipelines.face.expression import calibrate, space_names
from pipelines.provenance.consent import consent_in
from pipelines.train.appearance import Appearance
from pipelines.train.inputs import TrainInputs


def write_record(inputs: TrainInputs, appearance: Appearance, expression: np.ndarray) -> None:
    """`expression` [P,E] is what the expression map was taught, in the inputs' space."""
    prior, dataset, settings, config = inputs.prior, inputs.dataset, inputs.settings, asdict(appearance.generator.config)
    channels = calibrate(expression, np.ones(len(expression), bool))
    first, *added = inputs.captures
    record: dict[str, Any] = {
        "schema": SCHEMA, "family": prior.family, "config": config, "image_size": config["image_size"],
        "prior": {"name": prior.name, "sha256": prior.sha256, "license": prior.license, "origin": prior.origin},
        "capture": asdict(origin_of(first)), "frontal_camera": inputs.frontal.label()[0].tolist(),
        "crop_extent": prior.crop_extent, "sampling": {"coarse": settings.finetune.coarse, "fine": settings.finetune.fine},
        "expression": {
            "space": inputs.space, "names": space_names(inputs.space), "mean": expression.mean(0), "std": expression.std(0),
            "neutral": channels.neutral, "low": channels.low, "high": channels.high,
        },
        "turns": asdict(turns_shown(dataset.world_from_camera[dataset.rows("train")])),
        "torso": settings.torso, "consent": consent_in(first),
    }  # fmt: skip
    write_json(inputs.folder / "avatar.json", record | ({"added": [source_of(capture) for capture in added]} if added else {}))


def source_of(capture: Path) -> dict[str, Any]:
    """Which capture this is, and what its person agreed to."""
    return asdict(origin_of(capture)) | {"consent": consent_in(capture)}
