"""The geometry of square crops: where in its frame each lies, and its camera in metres and in a generator's units."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from models.head_frame import HeadFrame

PORTRAIT = HeadFrame.of_scale(1.0, 0.272)
"""The frame of figures and pages: 27 cm at the head's center, as the shipped prior's crops."""


@dataclass(frozen=True, kw_only=True)
class Crops:
    """Crops of `frame` from cameras in the metric head frame; a row a frame of the footage."""

    camera_from_head: np.ndarray
    """[N,4,4] m, OpenCV axes."""
    focal_px: float
    frame_size: tuple[int, int]
    frame: HeadFrame

    @cached_property
    def box(self) -> np.ndarray:
        """[N,3] x0, y0, side in px of the frame: side = f * extent / depth of the origin, and its middle is the projected
        origin, moved by the frame's `crop_center` on that scale."""
        origin = self.frame.camera_from_prior(self.camera_from_head)[:, :3, 3]
        side = self.focal_px * self.frame.crop_extent / origin[:, 2]
        middle = self.focal_px * origin[:, :2] / origin[:, 2:] + np.array(self.frame_size) / 2
        middle += side[:, None] / self.frame.crop_extent * np.array(self.frame.crop_center)
        return np.column_stack([middle - side[:, None] / 2, side])

    @cached_property
    def intrinsics(self) -> np.ndarray:
        """[N,3,3] of the crops, normalized by their side."""
        result = np.tile(np.eye(3), (len(self.box), 1, 1))
        result[:, 0, 0] = result[:, 1, 1] = self.focal_px / self.box[:, 2]
        result[:, :2, 2] = (np.array(self.frame_size) / 2 - self.box[:, :2]) / self.box[:, 2:]
        return result

    @cached_property
    def head_from_camera(self) -> np.ndarray:
        """[N,4,4] m."""
        return np.linalg.inv(self.camera_from_head)

    @cached_property
    def world_from_camera(self) -> np.ndarray:
        """[N,4,4] in the generator's units."""
        return np.linalg.inv(self.frame.camera_from_prior(self.camera_from_head))
