"""An avatar folder as training leaves it, with a few thousand random weights: enough to drive and render."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOM = (90, 160, 40)
"""Color of the wall in the film of `with_scene`."""


def write_tiny_avatar(folder: Path, family: str = "eg3d") -> Path:
    import torch
    from safetensors.torch import save

    from models.camera import Camera
    from models.families import FAMILIES
    from models.heads.expression_map import ExpressionMap
    from pipelines.artifacts.avatar_record import (
        WEIGHTS,
        AvatarRecord,
        ExpressionRange,
        Origin,
        PriorOrigin,
        SamplesPerRay,
        hashed,
        save_avatar_record,
    )
    from pipelines.artifacts.prior import load_prior
    from pipelines.core.files import write_arrays, write_bytes, write_json
    from pipelines.face.expression import space_names

    torch.manual_seed(0)
    config, prior, names = FAMILIES[family].toy, load_prior("quick"), space_names("measured")
    generator: Any = FAMILIES[family].build(config)
    zero, one = torch.zeros(len(names)), torch.ones(len(names))
    middle, basis = torch.zeros(config.w_dim), torch.eye(config.w_dim)
    mapping = ExpressionMap(mean=zero, std=0.3 * one, mean_w=middle, basis=basis, hidden=8, latent=generator.latent)
    for name, module in (("generator", generator), ("expression_map", mapping)):
        state = {key: value.detach().contiguous().clone() for key, value in module.state_dict().items()}
        write_bytes(folder / f"{name}.safetensors", save(state))
    write_arrays(folder / "landmarks.npz", landmarks=prior.landmarks)
    values = {"mean": zero, "std": 0.3 * one, "neutral": 0.1 * one, "low": zero, "high": 0.8 * one}
    record = AvatarRecord(
        family=family, config=asdict(config), image_size=config.image_size, crop_extent=prior.crop_extent,
        prior=PriorOrigin(name=prior.name, sha256=prior.sha256), capture=Origin(fingerprint="0" * 64, name="tiny.capture"),
        frontal_camera=tuple(Camera.frontal(distance=2.7, focal=2.6).label()[0].tolist()),
        sampling=SamplesPerRay(coarse=6, fine=6), weights=hashed(folder, WEIGHTS),
        expression=ExpressionRange(
            space="measured", names=names, **{key: tuple(value.tolist()) for key, value in values.items()}
        ),
    )  # fmt: skip
    save_avatar_record(folder, record)
    write_json(folder / "stage.json", {"schema": 1, "stage": "train", "version": 1, "fingerprint": "1" * 64, "settings": {},
                                       "seconds": {}, "figures": {}, "warnings": []})  # fmt: skip
    return folder


def with_scene(avatar: Path) -> Path:
    """The avatar with a film of 192 times 108 px before a wall of one color, the head's square at its upper middle."""
    import numpy as np

    from pipelines.artifacts.avatar_record import SCENE, load_avatar_record
    from pipelines.core.files import write_image, write_json

    camera = load_avatar_record(avatar).frontal_camera
    write_json(avatar / SCENE[0], {"schema": 1, "frame_size": [192, 108], "box": [72.0, 12.0, 48.0], "camera": list(camera)})
    write_image(avatar / SCENE[1], np.full((108, 192, 3), ROOM, np.uint8))
    shoulders = np.zeros((108, 192, 4), np.uint8)
    shoulders[70:, 60:132] = (200, 0, 0, 255)
    write_image(avatar / SCENE[2], shoulders)
    return avatar
