"""How far every number among the settings may go; one table for all settings classes.

A number is found by its dotted name, else by its last part, else by the unit it ends in, else by its type: whole numbers count
from 1, others are finite and not negative. A test holds all defaults and presets against it.
"""

from typing import Any

from pipelines.core.errors import SettingError

Bounds = tuple[float, float]
LARGEST = 1e9
SHARE, STRENGTH, LENGTH = (0.0, 1.0), (0.0, 10.0), (0.0, 1e7)
BY_NAME: dict[str, Bounds] = {
    "seed": (0, 2**63 - 1), "paint": (0, 8), "image_size": (128, 512),
    "inversion_steps": (0, LARGEST), "image_steps": (0, LARGEST),
    "landmark_agreement.most_frames": (0, LARGEST), "pairs.count": (2, 1e6), "batch": (1, 4096),
    "micro_batch": (1, 4096), "adversarial_batch": (1, 4096), "remember_batch": (1, 4096), "coarse": (1, 1024),
    "fine": (0, 1024),
    "hidden": (1, 65536), "min_frames": (2, LARGEST), "min_photos": (2, LARGEST), "max_frames": (2, LARGEST),
    "budget_s": (1, 1e7), "memory_gb": (0.5, 1e5), "size": (1, 8192), "head_signs": (-100, 100), "focal": (0.05, 100),
    "focal_px": (1, 1e6), "focal_prior": (0.05, 100), "focal_range": (0.05, 100), "zoom": (0.01, 100), "fov_deg": (1, 170),
    "views.turn": (-10, 10), "views.shift": (-10, 10), "turn_limit": (0, 180), "mouth": STRENGTH, "lids": STRENGTH,
    "brows": STRENGTH, "gaze": STRENGTH, "match": SHARE, "most": (1, 100), "overshoot": STRENGTH, "aim": (0, 2),
    "neutral_s": LENGTH, "smooth_hz": (0, 1000), "smooth_speed": (0, 1000), "augment_p": SHARE, "adversarial_from": SHARE,
    "background_rays": SHARE, "final_rate": SHARE, "unfilmed": SHARE, "new_share": SHARE, "varied": SHARE, "truncation": (0, 2),
    "pairs.held_out": (0, 0.9), "dataset.held_out": (0.01, 0.9), "tolerated": SHARE, "least": SHARE, "crop_size": (16, 4096),
    "ema_images": (1, LARGEST), "augment_images": (1, LARGEST), "rate": (0, 10), "live.seconds": (0.01, 1e7),
    "orbit_period_s": (0.01, 1e7), "turn_period_s": (0.01, 1e7), "sfm_timeout_s": (1, 1e6), "min_brightness": (0, 255),
    "max_brightness": (0, 255),
}  # fmt: skip
BY_UNIT: dict[str, Bounds] = {
    "learning_rate": (0, 10), "_rate": (0, 10), "_px": (16, 16384), "_hz": (0.1, 1000), "_s": LENGTH, "_deg": (0, 360),
    "_m": (0, 10), "_every": (1, LARGEST),
}  # fmt: skip


def bounds_of(key: str, kind: type) -> Bounds:
    """Least and largest value of the setting with a dotted name (`train.finetune.steps`) whose values are `kind`."""
    parts = key.split(".")
    names = [".".join(parts[first:]) for first in range(len(parts))]
    found = next((BY_NAME[name] for name in names if name in BY_NAME), None)
    found = found or next((bounds for unit, bounds in BY_UNIT.items() if parts[-1].endswith(unit)), None)
    return found or ((1, LARGEST) if kind is int else (0, LARGEST))


def insist_within(key: str, value: Any, said: str) -> None:
    """SettingError when a number, or one of several, lies outside; values that are none are left alone."""
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        low, high = bounds_of(key, type(number))
        if not low <= number <= high:  # nor is what is not a number
            raise SettingError(f"{said}: this must lie between {low:g} and {high:g}.")
