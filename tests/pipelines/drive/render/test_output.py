"""Pixels of the output."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.avatar.layers import Layers, resized
from pipelines.core.errors import SettingError
from pipelines.core.files import write_image
from pipelines.drive.render.output import check_output, make_background, parse_color, picture_size


def test_colors():
    assert parse_color("#ff8000") == pytest.approx((1, 128 / 255, 0))
    for text in ("#ff80", "red", "#gg0000"):
        with pytest.raises(SettingError, match="#rrggbb"):
            parse_color(text)


def test_default_size_is_the_generators_doubled_while_small():
    assert [picture_size(size, None) for size in (64, 128, 256, 512)] == [256, 256, 256, 512]
    assert picture_size(128, 300) == 300
    with pytest.raises(SettingError):
        picture_size(128, 5)


@pytest.mark.parametrize(
    ("name", "background", "words"),
    [
        ("a.mp4", "transparent", ".webm or .mov"),
        ("a.avi", "#808080", ".mp4, .webm, .mov"),
        ("a.mp4", "nowhere.png", "nowhere.png"),
    ],
)
def test_what_cannot_be_written_is_said_before_any_work(name: str, background: str, words: str):
    with pytest.raises(SettingError, match=words):
        check_output(Path(name), background, (256, 256))


def test_what_can_be_written(tmp_path: Path):
    write_image(tmp_path / "room.png", np.zeros((4, 4, 3), np.uint8))
    for name, background in (("a.webm", "transparent"), ("frames", "transparent"), ("a.mp4", str(tmp_path / "room.png"))):
        check_output(Path(name), background, (256, 256))


def test_an_image_background_is_cut_to_its_middle_square(tmp_path: Path):
    image = np.zeros((40, 80, 3), np.uint8)
    image[:, 20:60] = (10, 200, 30)
    write_image(tmp_path / "room.png", image)
    canvas = make_background(str(tmp_path / "room.png"), (16, 16))
    assert np.allclose(canvas[..., :3] * 255, (10, 200, 30), atol=1) and (canvas[..., 3] == 1).all()
    assert (make_background("transparent", (16, 16)) == 0).all()


def test_half_a_head_over_a_color():
    head = np.full((1, 1, 4), 0.5, np.float32)  # white at half strength, premultiplied
    blue = Layers(generator=head[None], background=make_background("#0000ff", (1, 1)))
    assert blue.pixels()[0, 0, 0].tolist() == [128, 128, 255]
    for clear in (make_background("transparent", (1, 1)), None):
        assert Layers(generator=head[None], background=clear).pixels()[0, 0, 0].tolist() == [255, 255, 255, 128]


def test_colors_beside_a_transparent_head_are_the_heads_and_calm():
    """Noise where nothing is becomes neither garish nor visible."""
    picture = np.zeros((64, 64, 4), np.float32)
    picture[16:48, 16:48] = (0.6, 0.3, 0.15, 1.0)
    noise = np.random.default_rng(0).uniform(0, 0.004, (64, 64, 4)).astype(np.float32)
    picture = np.where(picture[..., 3:] > 0, picture, noise)
    pixels = Layers(generator=picture[None]).pixels()[0]
    assert pixels[30, 30].tolist() == [153, 76, 38, 255] and pixels[4:14, :, 3].max() <= 1
    near = pixels[30, 50:52, :3].astype(int)
    assert np.abs(near - (153, 76, 38)).max() < 30, "the edge has nothing to bleed"
    assert pixels[:10, :10, :3].max() < 120


def test_enlarging_keeps_flat_areas_and_bounds():
    color, alpha = np.zeros((8, 8, 3), np.float32), np.zeros((4, 4, 1), np.float32)
    color[:, 4:], alpha[:, 2:] = 1.0, 1.0
    large = resized(color, alpha, 32)
    assert large.shape == (32, 32, 4) and large.min() == 0 and large.max() == 1
    assert (large[:, :9, :3] < 0.05).all() and (large[:, 24:] > 0.9).all()
