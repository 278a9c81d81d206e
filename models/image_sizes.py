"""What changes in a volume generator's config with the size of its image: rays, samples, super-resolution, discriminator.

512: FFHQ's. 128: ours for a laptop. 256 lies between: as many rays as 128 has, both blocks of super-resolution double them.
"""

from typing import Any

IMAGE_SIZES: dict[int, dict[str, Any]] = {
    128: {
        "neural_rendering_resolution": 64, "depth_resolution": 12, "depth_resolution_importance": 12, "superresolution": "2X",
        "superresolution_channels": (32, 16), "discriminator_channel_max": 48, "discriminator_channel_base": None,
    },
    256: {
        "neural_rendering_resolution": 64, "depth_resolution": 24, "depth_resolution_importance": 24, "superresolution": "8XDC",
        "superresolution_channels": (64, 32), "discriminator_channel_max": 256, "discriminator_channel_base": 16384,
    },
    512: {
        "neural_rendering_resolution": 128, "depth_resolution": 48, "depth_resolution_importance": 48,
        "superresolution": "8XDC", "superresolution_channels": None, "discriminator_channel_max": 512,
        "discriminator_channel_base": 32768,
    },
}  # fmt: skip
"""Image size -> config fields."""


def fields_of_size(size: int) -> dict[str, Any]:
    """The config fields of an image size, itself among them; ValueError for other sizes than 128, 256 and 512."""
    if size not in IMAGE_SIZES:
        raise ValueError(f"an image size of {size} px is not one of {', '.join(map(str, IMAGE_SIZES))}")
    return {"image_size": size, **IMAGE_SIZES[size]}
