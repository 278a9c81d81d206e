"""A capture's scene, and how it lies in a canvas."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.avatar_record import SCENE
from pipelines.avatar.canvas import Canvas, canvas_in
from pipelines.avatar.scene.scene import Scene, load_scene
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import write_image, write_json
from pipelines.geometry.rigid import pinhole

LENS = pinhole(2.6, np.array([0.5, 0.5]))
POSE = np.diag([1.0, -1.0, -1.0, 1.0])
POSE[2, 3] = 2.7


def scene(box: tuple[float, float, float] = (60.0, 20.0, 80.0)) -> Scene:
    """A plate that is brighter to the right, and a green torso in its lower third."""
    plate = np.tile(np.linspace(0, 200, 200).astype(np.uint8)[None, :, None], (120, 1, 3))
    shoulders = np.zeros((120, 200, 4), np.uint8)
    shoulders[80:, 50:150] = (0, 200, 0, 255)
    return Scene(plate=plate, shoulders=shoulders, box=box, pose=POSE, intrinsics=LENS)


@pytest.mark.parametrize("shown", ["head", "bust", "source"])
def test_plate_and_shoulders_lie_where_they_were_filmed(shown) -> None:
    own = scene()
    canvas = canvas_in(shown, None, 160, own.frame_size, own.box)
    back, torso, matrix = own.backdrop(canvas), own.torso(canvas).placed(np.zeros(3)), canvas.from_film(own.box)
    assert back.shape == torso.shape == (*canvas.shape, 4) and (back[..., 3] == 1).all()
    x, y = (matrix @ np.array([100.0, 40.0, 1.0])).astype(int)
    assert back[y, x, 0] * 255 == pytest.approx(100, abs=3) and torso[y, x, 3] == 0
    x, y = (matrix @ np.array([100.0, 90.0, 1.0])).astype(int)
    assert torso[min(y, canvas.height - 1), x] == pytest.approx((0, 200 / 255, 0, 1), abs=0.01)


def test_a_torso_moves_by_the_squares_side_and_leaves_no_gap_below() -> None:
    own, canvas = scene(), canvas_in("source", None, 120, (200, 120), scene().box)
    layer = own.torso(canvas)
    rest, up = layer.placed(np.zeros(3)), layer.placed(np.array([0.0, -0.05, 0.0]))
    assert np.flatnonzero(rest[:, 100, 3] > 0.5)[0] - np.flatnonzero(up[:, 100, 3] > 0.5)[0] == round(0.05 * 80)
    assert up[-1, 100, 3] == 1


def test_beyond_the_film_the_plate_goes_on_softly() -> None:
    own = scene(box=(-40.0, -40.0, 100.0))
    back = own.backdrop(Canvas.of_square(100))
    assert np.abs(np.diff(back[:, 60, 0])).max() < 0.1 and back[5, 5, 0] < 0.3


def test_pictures_of_another_size_than_the_record_says_are_refused(tmp_path: Path) -> None:
    assert load_scene(tmp_path) is None
    camera = [*POSE.ravel(), *LENS.ravel()]
    write_json(tmp_path / SCENE[0], {"schema": 1, "frame_size": [64, 48], "box": [8.0, 4.0, 32.0], "camera": camera})
    write_image(tmp_path / SCENE[1], np.zeros((48, 64, 3), np.uint8))
    write_image(tmp_path / SCENE[2], np.zeros((48, 64, 4), np.uint8))
    found = load_scene(tmp_path)
    assert found is not None and found.frame_size == (64, 48) and np.allclose(found.pose, POSE)
    write_image(tmp_path / SCENE[1], np.zeros((40, 64, 3), np.uint8))
    with pytest.raises(UnusableMaterial, match="other sizes"):
        load_scene(tmp_path)
