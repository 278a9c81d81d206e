"""Crops and their cameras cannot drift apart, in metres and in a prior's units."""

from dataclasses import replace

import numpy as np
import pytest

from models.head_frame import HeadFrame
from pipelines.artifacts.crops import PORTRAIT, Crops
from pipelines.artifacts.prior import load_prior
from pipelines.media.squares import cut_square
from tests.pipelines.capture.heads import FOCAL_PX, SIZE, looking, project

POSES = looking(np.array([0.0, 35.0, -60.0]), np.array([0.0, 10.0, -12.0]))
POSES[:, :2, 3] = [[0.032, -0.016], [0.0, 0.064], [-0.096, 0.0]]


def crops_of(frame: HeadFrame) -> Crops:
    return Crops(camera_from_head=POSES, focal_px=FOCAL_PX, frame_size=SIZE, frame=frame)


def test_the_origin_is_in_the_middle_and_the_side_is_the_extent() -> None:
    crops = crops_of(PORTRAIT)
    assert crops.intrinsics[:, 0, 0] == pytest.approx(POSES[:, 2, 3] / 0.272)
    origin = project(POSES, np.zeros((1, 3)))[:, 0]
    assert np.allclose(crops.box[:, :2] + crops.box[:, 2:] / 2, origin)


def test_a_prior_of_the_same_extent_has_the_same_crops_in_its_own_units() -> None:
    metric, quick = crops_of(PORTRAIT), crops_of(load_prior("quick").frame)
    assert np.allclose(quick.box, metric.box) and np.allclose(quick.intrinsics, metric.intrinsics)
    assert np.allclose(quick.world_from_camera[:, :3, 3], metric.world_from_camera[:, :3, 3] / 0.32)
    assert np.allclose(quick.world_from_camera[:, :3, :3], metric.world_from_camera[:, :3, :3])
    assert np.allclose(metric.world_from_camera @ POSES, np.eye(4))


def test_a_square_that_is_moved_has_its_middle_beside_the_origin() -> None:
    frame = HeadFrame.of_scale(1.0, 0.3)
    plain, moved = crops_of(frame), crops_of(replace(frame, crop_center=(0.03, -0.06)))
    assert np.allclose((moved.box - plain.box)[:, :2] / plain.box[:, 2:], (0.1, -0.2)) and np.allclose(
        moved.box[:, 2], plain.box[:, 2]
    )
    with pytest.raises(ValueError, match="crop_center"):
        replace(frame, crop_center=(0.0, 0.4))


@pytest.mark.parametrize(("shift_m", "center"), [(0.0, (0.0, 0.0)), (0.05, (0.0, 0.0)), (0.0, (0.03, -0.08))])
def test_a_point_lands_in_the_crop_where_its_camera_says(shift_m: float, center: tuple[float, float]) -> None:
    """In a frame whose origin lies elsewhere too: at the neck, as that of a family of whole bodies; or whose square does."""
    matrix = np.diag([2.0, 2.0, 2.0, 1.0])
    matrix[1, 3] = 2 * shift_m
    frame = HeadFrame(prior_from_head=matrix, crop_extent=0.6, crop_center=center)
    crops, point = crops_of(frame), np.array([[0.03, -0.06, 0.08]])
    there, in_frame, size = frame.points(point)[0], project(POSES, point)[:, 0], 256
    for row in range(3):
        camera = np.linalg.inv(crops.world_from_camera[row])
        inside = camera[:3, :3] @ there + camera[:3, 3]
        by_camera = size * (crops.intrinsics[row] @ (inside / inside[2]))[:2]
        y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
        image = np.exp(-((x - in_frame[row, 0]) ** 2 + (y - in_frame[row, 1]) ** 2) / 18).astype(np.float32)
        cut = cut_square(image, tuple(crops.box[row]), size, outside=0)
        rows, columns = np.mgrid[:size, :size] + 0.5
        place = np.array([(cut * columns).sum(), (cut * rows).sum()]) / cut.sum()
        assert place == pytest.approx(by_camera, abs=0.1)
