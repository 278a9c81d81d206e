"""Published PanoHead networks: the config of one, from its attributes and shapes (models.published)."""

import re
from collections.abc import Mapping

import numpy as np

from models.networks.dual_discriminator import MASK_SIZE, MaskDiscriminator
from models.panohead.config import JudgedMask, PanoHeadConfig
from models.published import (
    NotUnderstood,
    PublishedNetwork,
    activation_of,
    boolean,
    integer,
    plane_channels,
    superresolution,
    volume_config,
)


def recognizes(network: PublishedNetwork) -> bool:
    """Whether a network moves its camera."""
    return any(name.startswith("t_mapping.") for name in network.state)


def config_of(network: PublishedNetwork) -> PanoHeadConfig:
    common, options, state = volume_config(network), network.options, network.state
    if boolean(options, "white_back", False) or boolean(options, "disparity_space_sampling", False):
        raise NotUnderstood("is a PanoHead network with a white background or samples by disparity, which ours has not")
    depth = integer(None, options, "triplane_depth", 1, most=256)
    judged_mask, mask_size = mask_of(network.discriminator_state, common["image_size"])
    return PanoHeadConfig(
        **common, plane_channels=plane_channels(state, 3 * depth), triplane_depth=depth,
        decoder_activation=activation_of(options),
        use_torgb_raw="torgb.weight" in state, use_background=any(name.startswith("bcg_synthesis.") for name in state),
        superresolution=superresolution(network)[0], judged_mask=judged_mask, mask_size=mask_size,
    )  # fmt: skip


def mask_of(state: Mapping[str, np.ndarray] | None, image_size: int) -> tuple[JudgedMask, int]:
    """How a discriminator sees the mask, by its tensors: in a branch of its own, as a further channel, or not at all; and the
    side of the mask in such a branch."""
    if state is None:
        return "channel", MASK_SIZE
    for name in state:
        if branch := re.fullmatch(r"sb(\d{1,4})\.fromrgb\.weight", name):
            return "branch", int(branch[1])
    first = state.get(f"b{image_size}.fromrgb.weight")
    masked = first is not None and first.ndim == 4 and first.shape[1] == MaskDiscriminator.image_channels
    return ("channel" if masked else "none"), MASK_SIZE
