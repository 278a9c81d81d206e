"""The avatar's record, avatar.json: what a drive has to know of it, and where it came from."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from models.camera import Camera
from pipelines.artifacts.avatar import SCHEMA
from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.origins import origin_of
from pipelines.artifacts.prior import Prior
from pipelines.provenance.consent import consent_in
from pipelines.train.settings import TrainSettings


def record_of(
    prior: Prior, settings: TrainSettings, capture: Path, dataset: Dataset, config: dict[str, Any], frontal: Camera,
    space: str, expression: np.ndarray,
) -> dict[str, Any]:  # fmt: skip
    """As written; `config` is the generator's, `expression` [P,E] what its map was taught, in `space`."""
    from pipelines.avatar.view_limits import turns_shown
    from pipelines.face.expression import calibrate, space_names

    found = calibrate(expression, np.ones(len(expression), bool))
    return {
        "schema": SCHEMA, "family": prior.family, "config": config, "image_size": config["image_size"],
        "prior": {"name": prior.name, "sha256": prior.sha256, "license": prior.license, "origin": prior.origin},
        "capture": asdict(origin_of(capture)), "frontal_camera": frontal.label()[0].tolist(), "crop_extent": prior.crop_extent,
        "sampling": {"coarse": settings.finetune.coarse, "fine": settings.finetune.fine},
        "expression": {
            "space": space, "names": space_names(space), "mean": expression.mean(0), "std": expression.std(0),
            "neutral": found.neutral, "low": found.low, "high": found.high,
        },
        "turns": asdict(turns_shown(dataset.world_from_camera[dataset.rows("train")])),
        "torso": settings.torso, "consent": consent_in(capture),
    }  # fmt: skip
