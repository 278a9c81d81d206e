"""Published 3DFaceShop generators: the config of one, from the shapes of its tensors alone (spec 4); the file is a state of the
module and says nothing else.

Notable choice: which of a code's numbers mean what cannot be read off a shape. Only the published 379 are known.
"""

import re
from collections.abc import Mapping

import numpy as np

from models.faceshop.config import FaceShopConfig
from models.published import NotUnderstood, PublishedNetwork, shape

DISTANCE = 1.0
"""Of its cameras from the origin."""
PART = "encoder.mapping."
BLOCK = re.compile(r"encoder\.synthesis\.b(\d{1,4})\.conv1\.weight")


def recognizes(network: PublishedNetwork) -> bool:
    """Whether a network's backbone has that name."""
    return any(name.startswith(PART) for name in network.state)


def config_of(network: PublishedNetwork) -> FaceShopConfig:
    state = network.state
    embed, first = shape(state, f"{PART}embed.weight"), shape(state, f"{PART}fc0.weight")
    codes, known = first[1] - embed[0], FaceShopConfig().z_dim
    if codes != known:
        raise NotUnderstood(f"has codes of {codes} numbers, and only those of {known} are known part by part")
    planes, width = shape(state, f"{_largest(state)}.torgb.weight")[0], _widths(state)
    if planes % 3:
        raise NotUnderstood(f"has {planes} plane channels, which 3 does not divide")
    return FaceShopConfig(
        w_dim=embed[0], mapping_layers=sum(bool(re.fullmatch(r"encoder\.mapping\.fc\d+\.weight", name)) for name in state),
        channel_base=min((side * channels for side, channels in width.items() if channels < max(width.values())),
                         default=32768),
        channel_max=max(width.values()), plane_resolution=max(width), plane_channels=planes // 3,
        decoder_hidden=shape(state, "decoder.base_network.0.weight")[0],
        decoder_features=shape(state, "decoder.image_head.weight")[0] - 1, classes=shape(state, "decoder.mask_head.weight")[0],
        superresolution_channels=_channels(state), image_size=_side(state),
        neural_rendering_resolution=_side(state) // 4,
    )  # fmt: skip


def _widths(state: Mapping[str, np.ndarray]) -> dict[int, int]:
    """Channels by the side of a block."""
    return {int(match[1]): shape(state, name)[0] for name in state if (match := BLOCK.fullmatch(name))}


def _largest(state: Mapping[str, np.ndarray]) -> str:
    sides = _widths(state)
    if not sides:
        raise NotUnderstood("has no backbone")
    return f"encoder.synthesis.b{max(sides)}"


def _channels(state: Mapping[str, np.ndarray]) -> tuple[int, int] | None:
    """Of the super-resolution; None for the usual ones."""
    first, second = (shape(state, f"sr.block{number}.conv1.weight")[0] for number in (0, 1))
    return None if (first, second) == (64, 64) else (first, second)


def _side(state: Mapping[str, np.ndarray]) -> int:
    """Of the image."""
    return shape(state, "sr.block1.conv1.noise_const")[0]
