"""What the config of every generator with planes and rays must hold."""

from typing import Any

from models.volumes.planes import PLANE_AXES

ABOVE_ZERO = ("image_size", "neural_rendering_resolution", "depth_resolution", "box_warp")


def check_volume_config(config: Any) -> None:
    """ValueError for planes without known axes, ray limits of which only one is `auto`, and sizes that are not above 0."""
    if (config.ray_start == "auto") != (config.ray_end == "auto"):
        raise ValueError(f"ray_start {config.ray_start!r} and ray_end {config.ray_end!r}: either both are `auto` or none")
    if config.plane_axes not in PLANE_AXES:
        raise ValueError(f"plane_axes {config.plane_axes!r} is none of {', '.join(PLANE_AXES)}")
    for name in ABOVE_ZERO:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} {getattr(config, name)} is not above 0")
