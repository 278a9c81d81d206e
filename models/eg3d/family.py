"""EG3D's wiring (models.families.Family)."""

from dataclasses import replace

from models.eg3d.config import FFHQ512, QUICK, TINY128, UNIT, EG3DConfig
from models.eg3d.generator import EG3D
from models.eg3d.importer import config_of, recognizes
from models.eg3d.transfer import fresh, personal, resized, transfer
from models.families import Family, Importer, Judge
from models.networks.dual_discriminator import DualDiscriminator
from models.published import FFHQ_FRAME
from models.training.regularizers import smooth_density

SHIPPED = replace(
    QUICK, channel_base=4096, channel_max=96, basis_planes=10, back_plane=True, mapping_hidden=256, mapping_last="linear"
)
"""The shipped prior's network: 3.8 million parameters."""


def discriminators(config: EG3DConfig) -> dict[str, Judge]:
    return {"image": Judge(network=DualDiscriminator(config))}


FAMILY = Family(
    name="eg3d",
    config=EG3DConfig,
    build=EG3D,
    discriminators=discriminators,
    resized=resized,
    personal=personal,
    fresh=fresh,
    transfer=transfer,
    frame=FFHQ_FRAME,
    regularizers={"density": smooth_density},
    importer=Importer(recognizes=recognizes, config=config_of),
    presets={"ffhq512": FFHQ512, "quick": QUICK, "tiny128": TINY128, "shipped": SHIPPED},
    toy=UNIT,
)
