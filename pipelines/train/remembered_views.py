"""What the prior shows of a person from sides that were not filmed."""

from dataclasses import dataclass

from torch import Tensor

from models.camera import Camera


@dataclass(frozen=True, kw_only=True)
class Views:
    """The prior's renders of the person from sides that were not filmed."""

    camera: Camera
    raw: Tensor
    """[M,3,r,r] over mid gray."""
    alpha: Tensor
    """[M,1,r,r]"""
