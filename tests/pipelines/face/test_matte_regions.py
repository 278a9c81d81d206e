"""The matte of a head ends at the neck; with shoulders it goes further down, and of an upper body nothing is cut."""

import numpy as np
import pytest

from models.head_frame import HeadFrame, MatteRegion
from pipelines.artifacts.crops import PORTRAIT, Crops
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.matte_regions import CHIN, face_weight, region_weight
from tests.pipelines.capture.heads import FOCAL_PX, SIZE, looking

CHIN_M = float(canonical_landmarks()[CHIN, 1])
EXTENT_M = PORTRAIT.crop_extent


def weight_at(region: MatteRegion, yaw_deg: float, extent_m: float = EXTENT_M) -> np.ndarray:
    """[256,256] of a crop of `extent_m`, 64 cm away."""
    frame = HeadFrame.of_scale(1.0, extent_m)
    crops = Crops(camera_from_head=looking(np.array([yaw_deg])), focal_px=FOCAL_PX, frame_size=SIZE, frame=frame)
    return region_weight(region, crops.world_from_camera[0], crops.intrinsics[0], 256)


def row_at(height_m: float, extent_m: float = EXTENT_M) -> int:
    return min(int((extent_m / 2 - height_m) / extent_m * 256), 255)


@pytest.mark.parametrize("yaw_deg", [-60.0, 0.0, 60.0])
def test_the_head_is_kept_and_the_collar_dropped_from_every_side(yaw_deg: float) -> None:
    weight = weight_at("head", yaw_deg)
    assert weight[row_at(0.064)].min() == 1
    assert weight[row_at(CHIN_M + 0.0416), 64:192].min() == 1
    assert weight[row_at(CHIN_M - 0.0032), 128] > 0.98
    assert weight[row_at(CHIN_M - 0.0544), 128] < 0.05
    assert weight[row_at(CHIN_M - 0.0544)].max() < 0.1


def test_shoulders_fade_where_long_hair_near_the_neck_stays() -> None:
    row = weight_at("head", 0.0)[row_at(CHIN_M + 0.0032)]
    assert row[128 + int(0.064 / EXTENT_M * 256)] > 0.9
    assert row[128 + int(0.1312 / EXTENT_M * 256)] < 0.1


def test_shoulders_and_upper_bodies_stay_where_a_family_shows_them() -> None:
    wide = 0.8
    shoulders, head = weight_at("head and shoulders", 0.0, wide), weight_at("head", 0.0, wide)
    on_shoulder = row_at(CHIN_M - 0.14, wide), 128 + int(0.16 / wide * 256)
    assert shoulders[on_shoulder] > 0.9 and head[on_shoulder] < 0.05
    assert shoulders[row_at(CHIN_M - 0.3, wide), 128] < 0.05
    assert weight_at("upper body", 0.0, wide).min() == 1


def test_an_open_jaw_is_inside_the_face() -> None:
    points = np.random.default_rng(0).uniform(0, 1, (478, 3)) * (80, 120, 0) + (280, 200, 0)
    weight = face_weight(points.astype(np.float32), (220.0, 160.0, 200.0), 128)
    assert weight[int((319 - 160) / 200 * 128), int((320 - 220) / 200 * 128)] > 0.9
    assert weight[:10].max() < 0.01
