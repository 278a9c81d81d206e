"""Published EG3D networks: the config of one, from its attributes and shapes (models.published).

Notable choice: in-place raw images (`compat_inplace_raw`) are switched on where the release's network really returned them,
since its discriminator has seen no others.
"""

from models.eg3d.config import EG3DConfig
from models.networks.superresolution import VARIANTS
from models.published import PublishedNetwork, boolean, plane_channels, superresolution, volume_config

OTHERS = ("bcg_synthesis.", "t_mapping.", "pose_branch.", "encoder.")
"""Parts that none of these networks has."""


def recognizes(network: PublishedNetwork) -> bool:
    """Whether it is a tri-plane network: nothing paints its background, moves its camera or bends its head."""
    return not any(name.startswith(OTHERS) for name in network.state)


def config_of(network: PublishedNetwork) -> EG3DConfig:
    common, options = volume_config(network), network.options
    name, channels = superresolution(network)
    variant = VARIANTS[name]
    raw, taken = common["neural_rendering_resolution"], common["image_size"] >> variant.doublings
    return EG3DConfig(
        **common, plane_channels=plane_channels(network.state, 3), superresolution=name,
        superresolution_channels=None if channels == variant.channels else channels,
        compat_inplace_raw=variant.doublings == 1 and (raw == taken or (raw > taken and variant.enlarge_only)),
        white_back=boolean(options, "white_back", False),
        disparity_space_sampling=boolean(options, "disparity_space_sampling", False),
    )  # fmt: skip
