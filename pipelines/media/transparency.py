"""Films with transparency: VP8 and VP9, whose alpha only libvpx decodes, and every codec whose frames carry one."""

from typing import Any

import numpy as np

GRAY = 128
"""What transparent pixels are laid over."""
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def decoder_of(stream: Any) -> Any:
    """What decodes a stream's packets: libvpx where it says that its pictures are transparent."""
    from av import CodecContext
    from av.codec.codec import UnknownCodecError

    name = ALPHA_DECODERS.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return stream.codec_context
    try:
        return CodecContext.create(name, "r")
    except UnknownCodecError:
        return stream.codec_context


def has_alpha(frame: Any) -> bool:
    return any(part.is_alpha for part in frame.format.components) or frame.format.name == "pal8"


def over_gray(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [H,W,3] over mid gray, and uint8 [H,W] alpha, of straight uint8 [H,W,4]."""
    share = image[..., 3:].astype(np.float32) / 255
    laid = GRAY + (image[..., :3].astype(np.float32) - GRAY) * share
    return np.round(laid).astype(np.uint8), image[..., 3].copy()
