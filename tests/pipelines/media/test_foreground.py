import numpy as np

from pipelines.media.foreground import foreground

HAIR, WALL = np.array([60, 40, 30.0]), np.array([230, 235, 240.0])


def strands(size: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Picture uint8 [size,size,3] and matte uint8 [size,size]: dark hair that thins out upwards before a bright wall."""
    down = np.linspace(-2.5, 4.5, size)[:, None]
    comb = 0.25 * np.sin(np.arange(size) * 1.3)[None, :]
    alpha = np.clip(down + comb * (np.abs(down - 0.5) < 0.5), 0, 1)
    picture = alpha[..., None] * HAIR + (1 - alpha[..., None]) * WALL
    return np.round(picture).astype(np.uint8), np.round(255 * alpha).astype(np.uint8)


def test_hair_keeps_its_own_color_where_the_wall_shines_through() -> None:
    picture, matte = strands()
    half = (matte > 40) & (matte < 215)
    assert np.abs(picture[half] - HAIR).mean() > 90
    assert np.abs(foreground(picture, matte)[half] - HAIR).mean() < 10


def test_whole_pixels_stay_and_a_new_background_shows_no_old_one() -> None:
    picture, matte = strands()
    color = foreground(picture, matte)
    assert (color[matte == 255] == picture[matte == 255]).all()
    alpha = matte[..., None] / 255.0
    black, wanted = alpha * color, alpha * HAIR
    assert np.abs(black - wanted).max() < 14


def test_a_matte_of_nobody_changes_nothing() -> None:
    picture, matte = strands()
    assert (foreground(picture, np.zeros_like(matte)) == picture).all()


def test_large_pictures_change_as_small_ones() -> None:
    picture, matte = (np.repeat(np.repeat(part, 5, 0), 5, 1) for part in strands())
    half, color = (matte > 40) & (matte < 215), foreground(picture, matte)
    assert (color[matte == 255] == picture[matte == 255]).all()
    assert np.abs(color[half] - HAIR).mean() < 0.2 * np.abs(picture[half] - HAIR).mean()
