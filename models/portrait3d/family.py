"""3DPortraitGAN's wiring (models.families.Family)."""

import numpy as np

from models.families import Family, Importer, Judge
from models.head_frame import HeadFrame
from models.portrait3d.config import (
    EXTENT,
    PORTRAIT256,
    PORTRAIT512,
    PORTRAIT_SMALL,
    PORTRAIT_TINY128,
    PORTRAIT_UNIT,
    PortraitConfig,
)
from models.portrait3d.discriminator import PoseDiscriminator
from models.portrait3d.generator import Portrait3D
from models.portrait3d.importer import LICENSED, config_of, recognizes
from models.portrait3d.objectives import PortraitPhases
from models.training.regularizers import smooth_density
from models.trigrid.transfer import fresh, personal, resized, transfer

HEAD_CENTER = (0.0, 0.124, 0.0325)
"""The metric head frame's origin from the neck joint, m: where chin and nose of the canonical head are those of the bust."""


def discriminators(config: PortraitConfig) -> dict[str, Judge]:
    return {"image": Judge(network=PoseDiscriminator(config))}


def frame() -> HeadFrame:
    """Meters from the neck joint; a picture shows head and shoulders."""
    matrix = np.eye(4)
    matrix[:3, 3] = HEAD_CENTER
    return HeadFrame(prior_from_head=matrix, crop_extent=round(EXTENT, 5), matte_region="head and shoulders")


FAMILY = Family(
    name="portrait3d",
    config=PortraitConfig,
    build=Portrait3D,
    discriminators=discriminators,
    resized=resized,
    personal=personal,
    fresh=fresh,
    transfer=transfer,
    frame=frame(),
    regularizers={"density": smooth_density},
    importer=Importer(recognizes=recognizes, config=config_of, left_out=LICENSED),
    phases=PortraitPhases(),
    presets={
        "portrait512": PORTRAIT512, "portrait256": PORTRAIT256, "portrait": PORTRAIT_SMALL,
        "portrait-tiny128": PORTRAIT_TINY128,
    },
    toy=PORTRAIT_UNIT,
)  # fmt: skip
