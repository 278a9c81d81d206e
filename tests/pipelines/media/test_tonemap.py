"""HDR signals become light, and light the picture that an SDR screen shows."""

import numpy as np
import pytest

from pipelines.media.tonemap import (
    KNEE,
    Exposure,
    ToneMapper,
    exposure,
    light,
    rolled_off,
    shown,
)

WHITE = Exposure(transfer="pq", white=203.0, peak=203.0)


def test_white_has_203_candela_at_the_signals_of_the_standard() -> None:
    assert light(np.full(3, 0.75), "hlg") == pytest.approx(203, rel=0.002)
    assert light(np.full(3, 0.581), "pq") == pytest.approx(203, rel=0.01)
    assert light(np.ones(3), "hlg") == pytest.approx(1000, rel=1e-3) and light(np.ones(3), "pq") == pytest.approx(10_000)
    assert not light(np.zeros(3), "hlg").any() and not light(np.zeros(3), "pq").any()


def test_white_is_white_gray_stays_gray_and_mid_gray_is_what_a_screen_makes_of_it() -> None:
    assert shown(np.full(3, 203.0), WHITE) == pytest.approx(1.0, abs=1e-3)
    assert shown(np.full(3, 203 * 0.5**2.4), WHITE) == pytest.approx(0.5, abs=1e-3)
    assert not shown(np.zeros(3), WHITE).any()


def test_highlights_roll_off_without_a_step_and_never_beyond_white() -> None:
    values = np.linspace(0, 5, 501)
    rolled = rolled_off(values, 5.0)
    assert np.array_equal(rolled[values <= KNEE], values[values <= KNEE])
    assert np.diff(rolled).min() > 0 and np.diff(rolled, 2).max() < 1e-3 and rolled[-1] == pytest.approx(1.0)
    hot = shown(np.array([600.0, 400.0, 225.0]), Exposure(transfer="pq", peak=1000.0))
    assert hot.max() < 1 and hot[0] > hot[1] > hot[2]


def test_a_dim_grade_is_shown_with_its_own_white() -> None:
    rng = np.random.default_rng(0)
    assert exposure("pq", rng.uniform(0, 100, (5000, 3))).white == 100
    bright = exposure("hlg", rng.uniform(0, 900, (5000, 3)))
    assert bright.white == 203 and 890 < bright.peak <= 900
    assert exposure("hlg", np.zeros((0, 3))) == Exposure(transfer="hlg", white=203, peak=1000)


@pytest.mark.parametrize("kind", ["hlg", "pq"])
def test_the_table_does_what_the_formulas_say(kind: str) -> None:
    import av

    rng = np.random.default_rng(1)
    smooth = np.stack(np.meshgrid(np.linspace(0, 0.7, 64), np.linspace(0, 0.7, 48)), -1)
    signal = np.dstack([smooth, np.full((48, 64), 0.35)]) + rng.uniform(0, 0.05, (48, 64, 3))
    deep = np.round(signal * 1023).astype(np.uint16)
    frame = av.VideoFrame(64, 48, "gbrp10le")
    for plane, channel in zip(frame.planes, (1, 2, 0), strict=True):
        rows = np.zeros((48, plane.line_size // 2), np.uint16)
        rows[:, :64] = deep[..., channel]
        plane.update(rows.tobytes())
    asked = Exposure(transfer=kind, peak=600.0)
    found = ToneMapper(64, 48, asked)(frame).astype(float)
    error = np.abs(found - 255 * shown(light(deep / 1023, kind), asked))
    assert found.shape == (48, 64, 3) and np.median(error) < 1.0 and np.percentile(error, 99) < 12
