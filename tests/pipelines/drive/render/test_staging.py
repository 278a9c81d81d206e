"""An avatar with a scene of its own is shown in it, in any frame and aspect; one without says so."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.avatar import load_avatar
from pipelines.avatar.portrait import Portrait
from pipelines.core.errors import SettingError
from pipelines.core.files import write_image
from pipelines.drive.motion.motion import Motion
from pipelines.drive.render.painter import Painter
from pipelines.drive.render.staging import canvas_of, settled, staging_of
from pipelines.drive.settings import DriveSettings, ViewSettings
from tests.tiny import ROOM, with_scene, write_tiny_avatar


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_scene(write_tiny_avatar(tmp_path_factory.mktemp("a") / "anna.avatar"))


def painted(folder: Path, settings: DriveSettings, shift: float = 0.0) -> np.ndarray:
    """One picture at rest, the head moved to the right by `shift` units."""
    avatar = load_avatar(folder)
    staging = staging_of(avatar, settled(folder, settings))
    pose = staging.pose.copy()
    pose[0, 3] -= shift
    motion = Motion(expression=avatar.neutral[None], world_from_camera=pose[None], torso=np.zeros((1, 3)))
    painter = Painter(
        portrait=Portrait(avatar), canvas=staging.canvas, camera=staging.camera, torso=staging.torso(folder), batch=1,
        background=staging.background(settled(folder, settings).background),
    )  # fmt: skip
    return next(painter.paint(motion, 0, 1))


@pytest.mark.parametrize(
    ("frame", "aspect", "shape"),
    [("head", None, (64, 64)), ("head", "9:16", (114, 64)), ("bust", "4:5", (80, 64)), ("source", None, (64, 114))],
)
def test_the_room_and_the_shoulders_are_where_they_were_filmed(folder: Path, frame, aspect, shape: tuple[int, int]) -> None:
    settings = DriveSettings(size=64, frame=frame, aspect=aspect)
    picture, canvas = painted(folder, settings), canvas_of(folder, 32, settings)
    assert picture.shape == (*shape, 3)
    matrix = canvas.from_film((72.0, 12.0, 48.0))
    if frame == "source":
        assert np.abs(picture[2, 2].astype(int) - ROOM).max() <= 1
    x, y = (matrix @ np.array([96.0, 90.0, 1.0])).astype(int)
    if y < canvas.height:
        assert picture[y, x].tolist() == [200, 0, 0]


def test_the_square_follows_a_head_that_moves(folder: Path) -> None:
    settings = DriveSettings(size=108, frame="source", background="#000000")
    rest, moved = (painted(folder, settings, shift).astype(int) for shift in (0.0, 0.5))
    px = round(0.5 * 2.6 / 2.7 * 48)
    head = np.abs(rest[14:50, 74:118]).sum(), np.abs(moved[14:50, 74 + px : 118 + px]).sum()
    assert head[0] > 0 and head[1] == pytest.approx(head[0], rel=0.02)
    assert np.abs(rest[14:50, 74:118] - moved[14:50, 74 + px : 118 + px]).mean() < 4


def test_own_is_the_default_where_there_is_a_scene(folder: Path, tmp_path: Path) -> None:
    assert settled(folder, DriveSettings()).background == "own"
    plain = write_tiny_avatar(tmp_path / "plain.avatar")
    assert settled(plain, DriveSettings()).background == "#808080" and canvas_of(plain, 128, DriveSettings()).width == 256
    assert canvas_of(folder, 128, DriveSettings()).width == 512
    for changed in (DriveSettings(background="own"), DriveSettings(frame="bust"), DriveSettings(aspect="16:9")):
        with pytest.raises(SettingError, match="no scene of its own"):
            canvas_of(plain, 128, settled(plain, changed))


def test_what_does_not_go_together_is_said(folder: Path) -> None:
    with pytest.raises(SettingError, match="film's aspect"):
        canvas_of(folder, 128, DriveSettings(frame="source", aspect="16:9"))
    with pytest.raises(SettingError, match="views.zoom"):
        canvas_of(folder, 128, replace(DriveSettings(frame="bust"), views=ViewSettings(zoom=2.0)))


def test_other_backgrounds_go_with_every_frame(folder: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "sky.png", np.full((30, 40, 3), (10, 60, 200), np.uint8))
    for background, color in (("#204060", (32, 64, 96)), (str(tmp_path / "sky.png"), (10, 60, 200))):
        picture = painted(folder, DriveSettings(size=64, frame="bust", aspect="16:9", background=background))
        assert picture.shape == (64, 114, 3) and picture[2, 2].tolist() == list(color)
    clear = painted(folder, DriveSettings(size=64, frame="source", background="transparent"))
    assert clear.shape == (64, 114, 4) and clear[2, 2, 3] == 0 and clear[60, 57].tolist() == [200, 0, 0, 255]
