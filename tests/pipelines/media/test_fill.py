import numpy as np

from pipelines.media.fill import filled


def test_holes_are_filled_softly_from_around_and_the_rest_stays() -> None:
    ramp = np.tile(np.linspace(0, 255, 64, dtype=np.float32)[None, :, None], (48, 1, 3))
    weight = np.ones((48, 64), np.float32)
    weight[10:40, 20:44] = 0
    picture = np.where(weight[..., None] > 0, ramp, 0)
    result = filled(picture, weight)
    assert np.array_equal(result[weight > 0], ramp[weight > 0])
    assert np.abs(result - ramp)[weight == 0].mean() < 25
    assert np.abs(np.diff(result[25, :, 0])).max() < 30, "no step"


def test_what_is_nowhere_known_stays() -> None:
    picture = np.full((5, 7, 1), 9, np.float32)
    assert np.array_equal(filled(picture, np.zeros((5, 7))), picture)
