"""3DFaceShop's wiring (models.families.Family)."""

from models.faceshop.codes import composed
from models.faceshop.config import FACESHOP512, FACESHOP_SMALL, FACESHOP_UNIT, FaceShopConfig
from models.faceshop.discriminator import FaceShopDiscriminator
from models.faceshop.generator import FaceShop
from models.faceshop.guide import face_guide
from models.faceshop.importer import DISTANCE, config_of, recognizes
from models.faceshop.pose import focal_to_edges
from models.faceshop.transfer import fresh, personal, resized, transfer
from models.families import Family, Importer, Judge
from models.head_frame import HeadFrame
from models.training.regularizers import smooth_density

FOV_DEG = 12.6
"""Of the published networks' cameras."""


def discriminators(config: FaceShopConfig) -> dict[str, Judge]:
    return {"image": Judge(network=FaceShopDiscriminator(config))}


FAMILY = Family(
    name="faceshop",
    config=FaceShopConfig,
    build=FaceShop,
    discriminators=discriminators,
    resized=resized,
    personal=personal,
    fresh=fresh,
    transfer=transfer,
    frame=HeadFrame.of_scale(meters_per_unit=1.0, crop_extent=round(1 / focal_to_edges(FOV_DEG, 128), 4)),
    regularizers={"density": smooth_density},
    importer=Importer(recognizes=recognizes, config=config_of, distance=DISTANCE),
    compose=composed,
    guide=face_guide,
    presets={"faceshop512": FACESHOP512, "faceshop-small": FACESHOP_SMALL},
    toy=FACESHOP_UNIT,
)
"""One unit is a meter: the face model's decimeters over ten. Cameras stand one unit away."""
