"""PanoHead's wiring (models.families.Family)."""

from models.families import Family, Importer, Judge
from models.networks.dual_discriminator import DualDiscriminator, MaskBranchDiscriminator, MaskDiscriminator
from models.panohead.config import PANOHEAD512, PANOHEAD_UNIT, PanoHeadConfig
from models.panohead.generator import PanoHead
from models.panohead.importer import config_of, recognizes
from models.published import FFHQ_FRAME
from models.training.regularizers import smooth_density
from models.trigrid.transfer import fresh, personal, resized, transfer


def discriminators(config: PanoHeadConfig) -> dict[str, Judge]:
    """The one that sees the head's mask as the config says."""
    if config.judged_mask == "branch":
        return {"image": Judge(network=MaskBranchDiscriminator(config, config.mask_size))}
    return {"image": Judge(network=(MaskDiscriminator if config.judged_mask == "channel" else DualDiscriminator)(config))}


FAMILY = Family(
    name="panohead",
    config=PanoHeadConfig,
    build=PanoHead,
    discriminators=discriminators,
    resized=resized,
    personal=personal,
    fresh=fresh,
    transfer=transfer,
    frame=FFHQ_FRAME,
    regularizers={"density": smooth_density},
    importer=Importer(recognizes=recognizes, config=config_of),
    presets={"panohead512": PANOHEAD512},
    toy=PANOHEAD_UNIT,
)
