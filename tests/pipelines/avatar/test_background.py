"""Backgrounds that move, and the driver beside the avatar."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.avatar.background import (
    Backdrop,
    Film,
    beside,
    blurred,
    check_backdrop,
    moving,
    within,
)
from pipelines.core.errors import SettingError
from pipelines.drive.motion.driver_files import open_driver
from pipelines.drive.settings import TrackSettings
from pipelines.face.livelink import write_livelink
from pipelines.media.encoder import write_video
from tests.pipelines.drive.takes import moving as motion


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Ten frames at 10 Hz, each brighter by 20."""
    write_video(tmp_path / "film.mp4", (np.full((48, 64, 3), 20 + 20 * number, np.uint8) for number in range(10)), 10)
    return tmp_path / "film.mp4"


def levels(film: Film, times_s: list[float]) -> list[int]:
    return [round((float(film.at(time_s).mean()) - 20) / 20) for time_s in times_s]


def test_a_film_shows_the_frame_of_its_time_whatever_was_asked_before(film: Path):
    assert levels(Film(film, 64), [0.0, 0.05, 0.1, 0.55, 0.2, 0.95, 5.0]) == [0, 0, 1, 5, 2, 9, 9]
    assert levels(Film(film, 64, loop=True), [0.95, 1.05, 1.95, 2.3]) == [9, 0, 9, 3]


def test_a_background_film_is_cut_to_a_square_and_read_in_time(film: Path):
    driver = open_driver(film, TrackSettings())
    back = moving(str(film), driver.path, np.arange(30) / 30, (32, 32))
    assert isinstance(back, Backdrop)
    assert back.at(4).shape == (32, 32, 4) and (back.at(4)[..., 3] == 1).all()
    assert back.at(29)[..., 0].mean() * 255 == pytest.approx(200, abs=3) and back.at(3)[..., 0].mean() * 255 < 50


def test_the_drivers_own_picture_out_of_focus():
    image = np.zeros((90, 160, 3), np.uint8)
    image[:, 80:] = 255
    soft = blurred(image, (64, 64)).astype(int)
    assert soft.shape == (64, 64, 3) and np.abs(np.diff(soft[32, :, 0])).max() < 60
    assert soft[32, 2, 0] < 20 and 180 < soft[32, 61, 0] <= 217


def test_blur_and_films_need_pictures(tmp_path: Path):
    write_livelink(tmp_path / "a.csv", motion())
    driver = open_driver(tmp_path / "a.csv", TrackSettings())
    with pytest.raises(SettingError, match="a.csv has none"):
        check_backdrop("blur", driver.path, driver.video is not None)
    with pytest.raises(SettingError, match="nowhere.mp4"):
        check_backdrop("nowhere.mp4", driver.path, False)
    check_backdrop("#808080", driver.path, False)


def test_side_by_side_keeps_the_whole_driver_and_marks_the_moment():
    driver = within(np.full((100, 50, 3), 200, np.uint8), (64, 64))
    assert (driver[:, 20:44] == 200).all() and (driver[:, :14] < 40).all()
    bar = np.zeros((8, 128, 3), np.uint8)
    for channels in (3, 4):
        picture = np.full((64, 64, channels), 90, np.uint8)
        both = beside(driver, picture, bar, 0.5)
        assert both.shape == (72, 128, channels) and (both[:64, 64:] == 90).all()
        assert (both[64:, 63:66, :3] == 255).all() and (both[64:, :60, :3] == 0).all()
        assert channels == 3 or (both[:64, :64, 3] == 255).all()
    assert (bar == 0).all(), "the strip itself is not drawn into"
