"""Mattes beyond the square around the head: on its pixels, joined to the person, within the frame."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.capture.frames.scan import Scan
from pipelines.capture.mattes.crop_squares import region
from pipelines.capture.mattes.person import REGION_PX
from pipelines.capture.mattes.whole_frame import grid_of, whole_matte, write_whole_mattes
from pipelines.core.files import read_image, write_image
from pipelines.core.stage import Silent
from pipelines.media.squares import cut_square
from tests.pipelines.capture.heads import scan_of

SIZE = (640, 480)


def face(center: tuple[float, float] = (320.0, 200.0), side: float = 100.0) -> Scan:
    """One frame with a face of `side` px."""
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (1, 478, 2)) * side + center
    points[0, :2] = np.array(center) - side / 2, np.array(center) + side / 2
    return scan_of(points)


def write_frame(partial: Path, square: np.ndarray) -> None:
    write_image(partial / "frames" / "000000.jpg", np.full((SIZE[1], SIZE[0], 3), 90, np.uint8))
    write_image(partial / "work" / "mattes" / "000000.png", square)


def masked(*boxes: tuple[slice, slice]):
    """A matting that finds people in these parts of whatever it is shown."""

    def matte(image: np.ndarray) -> np.ndarray:
        alpha = np.zeros(image.shape[:2], np.float32)
        for box in boxes:
            alpha[box] = 1
        return alpha

    return matte


@pytest.mark.parametrize(("center", "side"), [((320, 200), 100), ((60, 60), 90), ((600, 470), 60), ((320, 240), 300)])
def test_the_grid_carries_the_squares_pixels_on_as_far_as_the_frame(center: tuple[float, float], side: float) -> None:
    points = face(center, side).points[0]
    grid, (x0, y0, width) = grid_of(points, SIZE), region(points)
    left, top, pixel = grid.box
    assert pixel == pytest.approx(width / REGION_PX) and max(grid.width, grid.height) <= 3 * REGION_PX
    assert left + grid.left * pixel == pytest.approx(x0) and top + grid.top * pixel == pytest.approx(y0)
    assert left >= min(x0, -pixel) and left + grid.width * pixel <= max(x0 + width, SIZE[0] + pixel)


def test_inside_the_square_nothing_is_lost_and_crops_of_both_are_the_same(tmp_path: Path) -> None:
    scan = face()
    grid = grid_of(scan.points[0], SIZE)
    square = np.random.default_rng(1).integers(0, 255, (REGION_PX, REGION_PX)).astype(np.uint8)
    write_frame(tmp_path, square)
    whole = whole_matte(tmp_path, "000000", grid, masked())
    assert np.array_equal(whole[grid.top : grid.top + REGION_PX, grid.left : grid.left + REGION_PX], square)
    x0, y0, side = grid.square
    left, top, pixel = grid.box
    crop = x0 + 0.2 * side, y0 + 0.3 * side, 0.5 * side
    of_square = cut_square(square, ((crop[0] - x0) / pixel, (crop[1] - y0) / pixel, crop[2] / pixel), 128, outside=0)
    of_whole = cut_square(whole, ((crop[0] - left) / pixel, (crop[1] - top) / pixel, crop[2] / pixel), 128, outside=0)
    assert np.abs(of_square.astype(int) - of_whole).max() <= 8  # noise; warpAffine rounds places to 1/32 px


def test_what_is_joined_to_the_person_stays_and_somebody_else_goes(tmp_path: Path) -> None:
    scan = face()
    grid = grid_of(scan.points[0], SIZE)
    square = np.zeros((REGION_PX, REGION_PX), np.uint8)
    square[200:, 100:400] = 255
    write_frame(tmp_path, square)
    arm = slice(grid.top + 400, grid.top + 500), slice(grid.left - 150, grid.left + 200)
    other = slice(grid.top, grid.top + 200), slice(grid.left + REGION_PX + 60, grid.left + REGION_PX + 150)
    whole = whole_matte(tmp_path, "000000", grid, masked(arm, other))
    assert whole[grid.top + 450, grid.left - 100] == 0, "between arm and person the square's own matte says nobody"
    square[400:500, :] = 255
    write_frame(tmp_path, square)
    whole = whole_matte(tmp_path, "000000", grid, masked(arm, other))
    assert whole[grid.top + 450, grid.left - 100] == 255 and whole[other].max() == 0


def test_an_alpha_that_was_brought_along_is_taken_everywhere(tmp_path: Path) -> None:
    scan = face()
    grid = grid_of(scan.points[0], SIZE)
    alpha = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    alpha[120:, 250:390] = 255
    write_frame(tmp_path, np.round(cut_square(alpha, grid.square, REGION_PX, outside=0)).astype(np.uint8))
    write_image(tmp_path / "work" / "alphas" / "000000.png", alpha)
    whole = whole_matte(tmp_path, "000000", grid, masked((slice(None), slice(None))))
    assert np.abs(whole.astype(int) - grid.cut(alpha)).mean() < 0.1


def test_a_run_that_was_broken_off_keeps_what_is_there(tmp_path: Path) -> None:
    scan = face()
    write_frame(tmp_path, np.full((REGION_PX, REGION_PX), 255, np.uint8))
    assert write_whole_mattes(tmp_path, scan, SIZE, Silent())["bytes"] > 0
    path = tmp_path / "mattes" / "000000.png"
    grid = grid_of(scan.points[0], SIZE)
    assert read_image(path).shape == (grid.height, grid.width)
    path.write_bytes(b"kept")
    assert write_whole_mattes(tmp_path, scan, SIZE, Silent())["bytes"] == 4
