"""Where mouth, eyes and hair are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.prior import load_prior
from pipelines.core.files import read_arrays, write_arrays
from pipelines.evaluate import Pictures, pictures
from pipelines.evaluate.regions import (
    EYES,
    LIPS,
    Regions,
    hull,
    points_in_crops,
    region_figures,
    regions_in,
    regions_of,
)
from pipelines.geometry.rigid import project
from tests.worlds import quick_view, write_solid_capture


@pytest.fixture(scope="module")
def prior() -> np.ndarray:
    return load_prior("quick").landmarks


def frontal(points: np.ndarray, size: int = 128) -> np.ndarray:
    """Landmarks in pixels of a picture that shows the face upright."""
    return np.stack([points[:, 0] + 0.5, 0.5 - points[:, 1]], axis=1) * size


def test_a_hull_with_its_margin() -> None:
    square = np.array([[4.5, 4.5], [11.5, 4.5], [11.5, 11.5], [4.5, 11.5]])
    assert hull(square, 16, 0).sum() == 64
    assert hull(square, 16, 2).sum() == 64 + 4 * 2 * 8 + 4
    assert not hull(square + 100, 16, 1).any()


def test_mouth_below_eyes_below_hair_and_none_overlaps_the_other(prior: np.ndarray) -> None:
    points = frontal(prior)
    found = regions_in(points, np.ones((128, 128), np.float32))
    rows = {name: np.flatnonzero(mask.any(1)) for name, mask in found.items()}
    assert rows["hair"].min() < rows["eyes"].min() < rows["eyes"].max() < rows["mouth"].min()
    assert not (found["mouth"] & found["eyes"]).any() and not (found["hair"] & found["eyes"]).any()
    assert found["mouth"][tuple(points[list(LIPS)].mean(0).astype(int)[::-1])]
    assert all(found["eyes"][tuple(points[list(ring)].mean(0).astype(int)[::-1])] for ring in EYES)


def test_hair_is_inside_the_matte_and_above_the_nose(prior: np.ndarray) -> None:
    points, matte = frontal(prior), np.zeros((128, 128), np.float32)
    matte[4:, 20:108] = 1
    hair = regions_in(points, matte)["hair"]
    assert hair.any() and not hair[:4].any() and not hair[:, :20].any()
    assert not hair[int(points[2, 1]) + 1 :].any()
    assert not hair[int(points[10, 1]) + 4, int(points[10, 0])], "the forehead is no hair"


def test_regions_lean_with_the_head(prior: np.ndarray) -> None:
    angle = np.radians(90)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (frontal(prior) - 64) @ turn.T + 64
    hair = regions_in(points, np.ones((128, 128), np.float32))["hair"]
    assert hair[:, int(points[2, 0]) + 2 :].any() and not hair[:, : int(points[2, 0]) - 1].any()


def test_without_tracked_points_the_mean_face_is_placed_by_the_camera(tmp_path: Path, prior: np.ndarray) -> None:
    dataset = quick_view(write_solid_capture(tmp_path / "a.capture"))
    rows = dataset.rows("test")
    cameras = dataset.world_from_camera[rows], dataset.intrinsics[rows]
    points, tracked = points_in_crops(dataset, rows, prior)
    assert not tracked.any() and np.allclose(points, project(*cameras, prior)[..., :2])
    assert project(*cameras, np.zeros((1, 3)))[:, 0, :2] == pytest.approx(0.5, abs=1e-6)
    arrays = read_arrays(dataset.folder / "tracking.npz")
    seen = np.zeros_like(arrays["landmarks"])
    seen[..., :2] = 10 + 80 * np.random.default_rng(0).random((len(seen), 478, 2))
    seen[rows[0]] = np.nan
    write_arrays(dataset.folder / "tracking.npz", **{**arrays, "landmarks": seen})
    points, tracked = points_in_crops(dataset, rows, prior)
    assert tracked.tolist() == [False] + [True] * (len(rows) - 1)
    assert points[1] == pytest.approx((seen[rows[1], :, :2] - 10) / 80)


def test_padding_counts_nowhere(tmp_path: Path, prior: np.ndarray) -> None:
    dataset = quick_view(write_solid_capture(tmp_path / "a.capture"))
    rows = dataset.rows("test")
    truth = pictures(dataset, "test", 32)
    half = replace(truth, inside=np.zeros_like(truth.inside))
    assert regions_of(dataset, rows, truth, prior).masks["mouth"].any()
    assert not regions_of(dataset, rows, half, prior).masks["mouth"].any()


def test_a_fault_in_the_mouth_is_a_fault_of_the_mouth_alone() -> None:
    random = np.random.default_rng(0)
    image = random.random((2, 32, 32, 3), dtype=np.float32)
    truth = Pictures(image=image, matte=np.ones((2, 32, 32), np.float32), inside=np.ones((2, 32, 32), bool))
    masks = {name: np.zeros((2, 32, 32), bool) for name in ("mouth", "eyes", "hair")}
    masks["mouth"][:, 22:28, 10:22], masks["eyes"][:, 8:12, 6:26], masks["hair"][0, 0, :5] = True, True, True
    regions = Regions(masks=masks, tracked=np.ones(2, bool))
    renders = image.copy()
    renders[:, 22:28, 10:22] += 0.1
    found = region_figures(renders, truth, regions)
    assert found["mouth"]["psnr"] == pytest.approx(20, abs=0.01) and found["eyes"]["psnr"] == 60
    assert found["mouth"]["pixels"] == 72 and found["mouth"]["frames"] == 2
    assert found["hair"] == {"psnr": None, "ssim": None, "sharpness": None, "pixels": None, "frames": 0}, "5 pixels are too few"
    flat = region_figures(np.full_like(image, 0.5), truth, regions)
    assert flat["mouth"]["sharpness"] == 0 and flat["eyes"]["ssim"] < 0.5
