"""The sheet of pictures out of shards: where it may be written, and what lies on it."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.core.errors import SettingError
from pipelines.core.files import read_image
from pipelines.prior.people.sheet import _some, check_sheet, tile_images, write_sheet
from tests.worlds_shards import write_solid_shards


@pytest.mark.parametrize("name", ["sheet.txt", "sheet", "sheet.webp", "png"])
def test_a_sheet_is_a_png_or_a_jpg(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingError, match=r"name a \.png or \.jpg file"):
        check_sheet(tmp_path / name)


def test_a_folder_that_takes_no_files_is_named_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(SettingError, match="cannot write into .*taken"):
        check_sheet(tmp_path / "taken" / "sheet.png")


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg", "SHEET.PNG"])
def test_a_sheet_that_can_be_written_leaves_only_its_folder(tmp_path: Path, name: str) -> None:
    check_sheet(tmp_path / "new" / name)
    assert list(tmp_path.iterdir()) == [tmp_path / "new"] and not list((tmp_path / "new").iterdir())


def test_tiles_lie_row_by_row_and_gray_fills_the_last() -> None:
    sheet = tile_images([np.full((2, 3, 3), 10 * number, np.uint8) for number in range(1, 6)], 3)
    assert sheet.shape == (4, 9, 3)
    assert sheet[::2, ::3, 0].tolist() == [[10, 20, 30], [40, 50, 127]]


def test_a_sheet_shows_every_person_once_before_any_twice(tmp_path: Path) -> None:
    shards = write_solid_shards(tmp_path / "shards")
    for name in ("a.png", "b.png"):
        write_sheet(shards, tmp_path / name, 3, 2, seed=1)
    sheet, again = (read_image(tmp_path / name) for name in ("a.png", "b.png"))
    assert sheet.shape == (64, 96, 3) and np.array_equal(sheet, again)
    tiles = sheet.reshape(2, 32, 3, 32, 3).swapaxes(1, 2).reshape(6, 32, 32, 3).astype(float)
    colors = tiles[:4, 14:18, 14:18].mean((1, 2))  # persons 0 to 3 have ever less green or blue
    tints = colors / colors[:, :1]
    assert [int(np.argmax(np.abs(tints - tints[n]).sum(1) < 1e-9)) for n in range(4)] == [0, 1, 2, 3]


def test_pictures_of_a_person_are_of_nobody_else() -> None:
    data = {
        "person": np.array([4, 7, 4, 7, 7]), "alpha": np.full((5, 8, 8), 255, np.uint8),
        "image": np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8),
    }  # fmt: skip
    numbers = {int(image[0, 0, 0]) for image in _some(data, 7, np.random.default_rng(0), 3)}
    assert numbers == {1, 3, 4} and len(_some(data, 4, np.random.default_rng(0), 1)) == 1
