"""Two avatars on the same frames: what one has over the other."""

from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.core.errors import UnusableMaterial

if TYPE_CHECKING:
    from pipelines.evaluate.record import EvaluatedAvatar

COMPARED = (
    ("avatar", "psnr_head"), ("avatar", "psnr_full"), ("avatar", "ssim_head"), ("avatar", "ssim_full"),
    ("avatar", "sharpness_head"),
    *(("regions", "avatar", name, figure) for name in ("mouth", "eyes", "hair") for figure in ("psnr", "ssim", "sharpness")),
    ("mouth_state", "avatar", "share"), ("flicker", "avatar"), ("tracking", "avatar", "aed"), ("tracking", "avatar", "apd_deg"),
    ("tracking", "avatar", "apd_shift"), ("lpips", "avatar"), ("st_lpips", "avatar"),
    ("identity_distance", "avatar"), ("hair_color_noise", "avatar"), ("flicker_rms", "avatar"), ("seconds", "video_to_avatar"),
)  # fmt: skip
"""Places of figures in a record."""


def difference(first: dict[str, Any], second: dict[str, Any]) -> dict[str, float | None]:
    """First minus second, by the names of their places without `avatar`; None where one of both has no figure."""
    found: dict[str, float | None] = {}
    for place in COMPARED:
        ours, theirs = at(first, place), at(second, place)
        known = isinstance(ours, int | float) and isinstance(theirs, int | float)
        found[".".join(part for part in place if part != "avatar") or "avatar"] = ours - theirs if known else None
    return found


def at(record: dict[str, Any], place: tuple[str, ...]) -> Any:
    """The value at a place of a record, None where it ends before."""
    value: Any = record
    for part in place:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def insist_same_frames(first: "EvaluatedAvatar", second: "EvaluatedAvatar") -> None:
    """UnusableMaterial unless both were judged on the same pictures."""
    same = first.names == second.names and first.truth.image.shape == second.truth.image.shape
    if not same or not np.array_equal(first.truth.image, second.truth.image):
        raise UnusableMaterial("the two avatars were not evaluated on the same frames, so they cannot be compared.")
