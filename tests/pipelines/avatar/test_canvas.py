"""Where the generator's square lies in the picture, and that nothing is lost or doubled when it is laid there."""

import numpy as np
import pytest

from pipelines.avatar.canvas import BOTTOM, Aspect, Canvas, Shown, canvas_in, fade, laid
from pipelines.avatar.layers import Layers

FILM, BOX = (1920, 1080), (800.0, 200.0, 400.0)


def test_the_head_alone_is_the_square() -> None:
    assert canvas_in("head", None, 512, FILM, BOX) == Canvas.of_square(512)
    assert canvas_in("head", "1:1", 300, (400, 400), (-50.0, -30.0, 500.0)).is_square


@pytest.mark.parametrize("shown", ["head", "bust"])
@pytest.mark.parametrize(
    ("aspect", "shape"), [("1:1", (512, 512)), ("4:5", (640, 512)), ("9:16", (910, 512)), ("16:9", (512, 910))]
)
def test_the_shorter_side_is_the_size_and_the_square_is_inside(shown: Shown, aspect: Aspect, shape: tuple[int, int]) -> None:
    canvas = canvas_in(shown, aspect, 512, FILM, BOX)
    assert canvas.shape == shape
    assert 0 <= canvas.x <= canvas.width - canvas.side and 0 <= canvas.y <= canvas.height - canvas.side
    assert canvas.side == 512 if shown == "head" else canvas.side < 512


def test_the_source_is_the_whole_frame_and_the_square_lies_where_it_was_filmed() -> None:
    canvas = canvas_in("source", None, 540, FILM, BOX)
    assert (canvas.shape, canvas.x, canvas.y, canvas.side) == ((540, 960), 400, 100, 200)
    assert canvas.from_film(BOX) @ np.array([800.0, 200.0, 1.0]) == pytest.approx((400, 100))
    assert canvas.from_film(BOX) @ np.array([1920.0, 1080.0, 1.0]) == pytest.approx((960, 540))


def test_a_window_stays_in_the_film_and_shrinks_to_it_but_never_below_the_square() -> None:
    left = canvas_in("bust", "16:9", 512, FILM, (0.0, 100.0, 300.0))
    assert left.x == 0, "moved to the right, as the film ends there"
    high = canvas_in("bust", "9:16", 512, FILM, BOX)
    assert high.height / high.side == pytest.approx(1080 / 400, abs=0.01), "as high as the film"
    large = canvas_in("bust", "1:1", 512, (500, 500), (-20.0, -40.0, 560.0))
    assert large.is_square


def test_a_square_is_laid_where_it_belongs_and_cut_at_the_border() -> None:
    behind = np.zeros((6, 8, 4), np.float32)
    front = np.ones((2, 4, 4, 4), np.float32)
    inside, beyond = laid(front, behind, (3, 1)), laid(front, behind, (-2, 4))
    assert inside.shape == (2, 6, 8, 4) and inside[0, 1:5, 3:7].min() == 1 and inside[0].sum() == 4 * 16
    assert beyond[1, 4:, :2].min() == 1 and beyond[1].sum() == 4 * 4
    assert behind.max() == 0 and laid(front, behind, (20, 0)).max() == 0


def test_a_place_shows_the_head_over_torso_and_background_with_soft_edges() -> None:
    head, torso = np.ones((1, 32, 32, 4), np.float32), np.zeros((64, 64, 4), np.float32)
    torso[40:] = (0, 1, 0, 1)
    blue = np.tile(np.array([0, 0, 1, 1], np.float32), (64, 64, 1))
    picture = Layers(generator=head, torso=torso, background=blue, place=(16, 16)).pixels()[0]
    assert picture[30, 30].tolist() == [255, 255, 255] and picture[5, 5].tolist() == [0, 0, 255]
    assert picture[60, 30].tolist() == [0, 255, 0]
    step = np.abs(np.diff(picture[40:56, 30].astype(int), axis=0)).max()
    assert step < 200 and fade(100)[-1].max() < 0.05 and fade(100)[round(100 * (1 - BOTTOM)) - 2, 50] == 1
