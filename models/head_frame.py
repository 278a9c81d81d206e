"""Where a generator sees a head: its own space as a similarity of the metric head frame, and what of a picture it is taught.

Metric head frame: origin at the head's center, x to the right of a frontal image, y up, z out of the face, metres. A similarity
X_prior = s R X_head + t leaves rotations of cameras rotations: with X_camera = R_c X_head + t_c in metres, the camera is
R_c R^T, s t_c - R_c R^T t in the prior's units.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

MatteRegion = Literal["head and neck", "head", "head and shoulders", "upper body"]
"""What belongs to the person in a training picture: head and upper neck, without or with what is worn beside the neck; these
and the shoulders; all that the crop shows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadFrame:
    """The head space of a prior or of an avatar.

    ValueError for a matrix that is no similarity, or a crop without extent or far from the origin.
    """

    prior_from_head: np.ndarray
    """[4,4] similarity from the metric head frame to the generator's units."""
    crop_extent: float
    """Side of the square training crop at the depth of the frame's origin, in the generator's units."""
    crop_center: tuple[float, float] = (0.0, 0.0)
    """Where the crop's middle lies from the frame's origin, to the right and down in the picture, as long as the extent."""
    matte_region: MatteRegion = "head"
    prior_sha256: str = ""
    """Of the prior whose frame this is, where it is one's: captures made before schema 2 are aligned to a single prior."""

    def __post_init__(self) -> None:
        if self.prior_from_head.shape != (4, 4) or not self._is_similarity():
            raise ValueError("prior_from_head must be a similarity [4,4]")
        if not self.crop_extent > 0:
            raise ValueError("crop_extent must be above 0")
        if not max(map(abs, self.crop_center)) <= self.crop_extent:
            raise ValueError("crop_center must lie within a crop's side of the origin")

    def _is_similarity(self) -> bool:
        scale = self.scale
        if not (np.isfinite(scale) and scale > 0):
            return False
        turn = self.prior_from_head[:3, :3] / scale
        return bool(np.abs(turn @ turn.T - np.eye(3)).max() < 1e-6)

    @staticmethod
    def of_scale(meters_per_unit: float, crop_extent: float, region: MatteRegion = "head", sha256: str = "") -> "HeadFrame":
        """The frame with the axes and origin of the metric one: most priors have it."""
        frame = np.diag([1 / meters_per_unit] * 3 + [1.0])
        return HeadFrame(prior_from_head=frame, crop_extent=crop_extent, matte_region=region, prior_sha256=sha256)

    @property
    def scale(self) -> float:
        """Units a metre."""
        return float(np.cbrt(np.linalg.det(self.prior_from_head[:3, :3])))

    def camera_from_prior(self, camera_from_head: np.ndarray) -> np.ndarray:
        """[N,4,4] poses of cameras in metres -> the same cameras about the generator's space, in its units."""
        result = np.tile(np.eye(4), (len(camera_from_head), 1, 1))
        result[:, :3, :3] = camera_from_head[:, :3, :3] @ self.prior_from_head[:3, :3].T / self.scale
        result[:, :3, 3] = self.scale * camera_from_head[:, :3, 3] - result[:, :3, :3] @ self.prior_from_head[:3, 3]
        return result

    def points(self, head: np.ndarray) -> np.ndarray:
        """[V,3] in the generator's units from [V,3] m."""
        return head @ self.prior_from_head[:3, :3].T + self.prior_from_head[:3, 3]

    def head_points(self, prior: np.ndarray) -> np.ndarray:
        """[V,3] m from [V,3] in the generator's units."""
        return (prior - self.prior_from_head[:3, 3]) @ self.prior_from_head[:3, :3] / self.scale**2
