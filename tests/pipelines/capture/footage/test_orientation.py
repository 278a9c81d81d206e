"""Clips that lie on their side and say nothing of it are turned; upright ones and those without a face are left alone."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.capture.check.check import check
from pipelines.capture.footage.orientation import EYES, agreed, is_upright, turns_of, upright
from pipelines.capture.footage.source import open_footage
from pipelines.capture.frames import extract, scan
from pipelines.capture.frames.scan import FrameSettings
from pipelines.core.stage import Silent
from pipelines.media.encoder import write_video
from pipelines.media.video import read_frames
from tests.material import DEMO


def eyes(across: float, down: float) -> SimpleNamespace:
    points = np.zeros((478, 3), np.float32)
    points[EYES[1], :2] = across, down
    return SimpleNamespace(points=points)


class Tracker:
    """Sees a face in pictures whose brightest corner is the upper left one, and one on its side where it is the upper right."""

    def track(self, image: np.ndarray) -> SimpleNamespace | None:
        if image[0, 0, 0] == 255:
            return eyes(10, 3)
        return eyes(3, 10) if image[0, -1, 0] == 255 else None


def corner(turns: int, value: int = 255) -> np.ndarray:
    """Upright after `turns`."""
    image = np.zeros((6, 8, 3), np.uint8)
    image[0, 0] = value
    return np.rot90(image, -turns)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_most_pictures_with_a_face_decide(turns: int) -> None:
    others = [corner((turns + 1) % 4), *[corner(0, 9)] * 5]
    assert agreed([corner(turns)] * 3 + others, Tracker()) == turns


def test_doubt_leaves_a_clip_as_it_is() -> None:
    assert agreed([corner(1)], Tracker()) == 0
    assert agreed([corner(1), corner(1), corner(2), corner(2)], Tracker()) == 0
    assert agreed([], Tracker()) == 0


def test_eyes_are_level_in_an_upright_face() -> None:
    rises = [(10, 0), (10, 9), (10, 11), (-10, 0), (0, 10)]
    assert [is_upright(eyes(*rise).points) for rise in rises] == [True, True, False, False, False]


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of the demo, turned to the right."""
    path = tmp_path_factory.mktemp("lying") / "a.mp4"
    images = [frame.image for frame in read_frames(DEMO, indices=set(range(200, 260, 2)), longest_side_px=400)]
    write_video(path, (np.ascontiguousarray(np.rot90(image, -1)) for image in images), 10)
    return path


def test_a_clip_on_its_side_is_turned_and_said_so(lying: Path, tmp_path: Path) -> None:
    footage = open_footage([lying], 1920)
    turned = upright(tmp_path, footage, 1920)
    assert footage.info.size == (400, 320) and turned.info.size == (320, 400)
    assert "a.mp4 lies on its side" in turned.remarks[0] and "90 degrees to the left" in turned.remarks[0]
    extract.scan(tmp_path, turned, FrameSettings(), Silent())
    seen = scan.load_scan(tmp_path)
    assert len(seen.usable) > 25 and all(is_upright(points) for points in seen.points[seen.usable])


def test_the_check_sees_it_upright_too(lying: Path) -> None:
    found = check([lying])
    assert found.figures["faces"] > 20 and (found.figures["width"], found.figures["height"]) == (320, 400)
    assert [one["weight"] for one in found.advice if one["about"] == "turn"] == ["know"]


def test_an_upright_clip_is_not_touched(tmp_path: Path) -> None:
    assert turns_of(DEMO) == 0
    footage = open_footage([DEMO], 1920)
    assert upright(tmp_path, footage, 1920) is footage
