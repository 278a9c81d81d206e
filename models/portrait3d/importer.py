"""Published networks of 3DPortraitGAN: the config of one, from its attributes and shapes (models.published).

Notable choice: the pickles hold the body that points follow, which is licensed and not ours to copy (`LICENSED`). It is left
out; the network says `smpl` in its config, and a user's own file takes its place.
"""

import re
from collections.abc import Mapping

import numpy as np

from models.portrait3d.config import SMPL, PortraitConfig
from models.published import (
    NotUnderstood,
    PublishedNetwork,
    activation_of,
    boolean,
    integer,
    plane_channels,
    real,
    superresolution,
    volume_config,
)

LICENSED = ("renderer.",)
"""Names of the tensors that hold the body."""
HEAD = re.compile(r"pose_branch\.net\.(\d{1,2})\.weight")


def recognizes(network: PublishedNetwork) -> bool:
    """Whether a network draws poses."""
    return any(name.startswith("pose_branch.") for name in network.state)


def config_of(network: PublishedNetwork) -> PortraitConfig:
    common, options, state = volume_config(network), network.options, network.state
    if boolean(options, "disparity_space_sampling", False) or boolean(options, "white_back", False):
        raise NotUnderstood("is a 3DPortraitGAN network with a white background or samples by disparity, which ours has not")
    depth = integer(None, options, "triplane_depth", 3, most=256)
    judged = network.discriminator_state
    return PortraitConfig(
        **common, plane_channels=plane_channels(state, 3 * depth), triplane_depth=depth,
        decoder_activation=activation_of(options),
        use_torgb_raw="torgb.weight" in state, use_background=any(name.startswith("bcg_synthesis.") for name in state),
        superresolution=superresolution(network)[0], body=SMPL, reach=real(network.arguments, "thickness", 0.25),
        pose_hidden=widths(network.state), compat_unmirrored_label=True,
        judged_pose_hidden=PortraitConfig.judged_pose_hidden if judged is None else widths(judged),
    )  # fmt: skip


def widths(state: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """Outputs of the layers of a pose head but for the last; NotUnderstood where there is none."""
    layers = {int(match[1]): state[name].shape[0] for name in state if (match := HEAD.fullmatch(name))}
    if not layers:
        raise NotUnderstood("has no pose head")
    return tuple(layers[number] for number in sorted(layers))[:-1]
