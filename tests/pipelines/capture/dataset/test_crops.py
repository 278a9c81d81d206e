"""Crops and their cameras cannot drift apart; the head matte ends at the neck."""

import numpy as np
import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.capture.dataset.crops import CHIN, DatasetSettings, crops_of, face_weight, neck_weight
from pipelines.capture.dataset.records import split
from pipelines.capture.mattes.person import cut_square
from tests.pipelines.capture.heads import FOCAL_PX, SIZE, looking, project

PRIOR = load_prior("quick")
POSES = looking(np.array([0.0, 35.0, -60.0]), np.array([0.0, 10.0, -12.0]))
POSES[:, :2, 3] = [[0.1, -0.05], [0.0, 0.2], [-0.3, 0.0]]
CROPS = crops_of(POSES, FOCAL_PX, SIZE, 0.85)


def test_the_origin_is_in_the_middle_and_the_side_is_the_extent() -> None:
    assert CROPS.intrinsics[:, 0, 0] == pytest.approx(POSES[:, 2, 3] / 0.85)
    origin = project(POSES, np.zeros((1, 3)))[:, 0]
    assert np.allclose(CROPS.box[:, :2] + CROPS.box[:, 2:] / 2, origin)


def test_a_point_lands_in_the_crop_where_its_camera_says() -> None:
    point = np.array([[0.1, -0.2, 0.25]])
    in_frame, size = project(POSES, point)[:, 0], 256
    for row in range(3):
        inside = POSES[row, :3, :3] @ point[0] + POSES[row, :3, 3]
        by_camera = size * (CROPS.intrinsics[row] @ (inside / inside[2]))[:2]
        image = np.zeros((SIZE[1], SIZE[0]), np.float32)
        y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
        image = np.exp(-((x - in_frame[row, 0]) ** 2 + (y - in_frame[row, 1]) ** 2) / 18).astype(np.float32)
        cut = cut_square(image, tuple(CROPS.box[row]), size, outside=0)
        rows, columns = np.mgrid[:size, :size] + 0.5
        found = np.array([(cut * columns).sum(), (cut * rows).sum()]) / cut.sum()
        assert found == pytest.approx(by_camera, abs=0.1)


def test_labels_are_world_from_camera() -> None:
    assert np.allclose(CROPS.world_from_camera @ POSES, np.eye(4))


def test_the_neck_weight_keeps_the_head_and_drops_the_collar_from_every_side() -> None:
    settings = DatasetSettings()
    for yaw in (-60.0, 0.0, 60.0):
        crops = crops_of(looking(np.array([yaw])), FOCAL_PX, SIZE, 0.85)
        weight = neck_weight(crops, 0, PRIOR, settings, 256)
        chin = float(PRIOR.landmarks[CHIN, 1])
        rows = ((0.425 - np.array([0.2, chin + 0.13, chin - 0.01, chin - 0.17])) / 0.85 * 256).astype(int)
        assert weight[rows[0]].min() == 1
        assert weight[rows[1], 64:192].min() == 1
        assert weight[rows[2], 128] > 0.98
        assert weight[min(rows[3], 255), 128] < 0.05
        assert weight[min(rows[3], 255)].max() < 0.1


def test_shoulders_fade_where_long_hair_near_the_neck_stays() -> None:
    weight = neck_weight(crops_of(looking(np.array([0.0])), FOCAL_PX, SIZE, 0.85), 0, PRIOR, DatasetSettings(), 256)
    row = int((0.425 - float(PRIOR.landmarks[CHIN, 1]) - 0.01) / 0.85 * 256)
    assert weight[row, 128 + int(0.2 / 0.85 * 256)] > 0.9
    assert weight[row, 128 + int(0.41 / 0.85 * 256)] < 0.1


def test_an_open_jaw_is_inside_the_face() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (478, 3)) * (80, 120, 0) + (280, 200, 0)
    weight = face_weight(points.astype(np.float32), (220.0, 160.0, 200.0), 128)
    assert weight[int((319 - 160) / 200 * 128), int((320 - 220) / 200 * 128)] > 0.9
    assert weight[:10].max() < 0.01


def test_the_end_of_the_time_is_held_out() -> None:
    times = np.concatenate([np.linspace(0, 4, 10), np.linspace(4.1, 10, 90)])
    kinds, start = split(times, 0.15)
    assert start == pytest.approx([8.5])
    assert np.all((kinds == "test") == (times > 8.5))
