"""Driver's expression -> avatar's expression."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.core.errors import SettingError
from pipelines.drive.motion.retarget import carry_gaze, driver_range, paired, retarget, side_gain, wanted_openings
from pipelines.drive.settings import RetargetSettings
from pipelines.face.channels import region_of
from pipelines.face.expression import ARKIT_52, MEASURED, Calibration
from pipelines.face.track import Track
from pipelines.geometry.filters import one_euro

RATE = 30.0
JAW, LID, LOOK = (MEASURED.index(name) for name in ("jawOpen", "eyeBlinkLeft", "eyeLookOutLeft"))
FREE = RetargetSettings(match=0.0, smooth_hz=1000.0)
"""No stretching, no smoothing."""


def track(scores: np.ndarray) -> Track:
    count = len(scores)
    return Track(
        space="measured", names=MEASURED, rate_hz=RATE, times_s=np.arange(count) / RATE, expression=scores.astype(np.float32),
        world_from_head=np.tile(np.eye(4), (count, 1, 1)), confidence=np.ones(count), valid=np.ones(count, bool),
    )  # fmt: skip


def wide(neutral: float = 0.0) -> Calibration:
    size = len(MEASURED)
    return Calibration(*(np.full(size, value, np.float32) for value in (neutral, -2.0, 2.0)))


def talking(count: int = 300) -> np.ndarray:
    """Rest at 0.2 in every channel; every third second the jaw opens to 1."""
    scores = np.full((count, len(MEASURED)), 0.2)
    phase = np.arange(count) / RATE % 3
    scores[:, JAW] += 0.8 * np.clip(np.sin(np.pi * phase), 0, 1) * (phase < 1)
    return scores


def test_the_drivers_rest_becomes_the_avatars():
    found = retarget(track(talking()), wide(neutral=-0.3), FREE)
    assert found.driver.neutral == pytest.approx(np.full(len(MEASURED), 0.2), abs=0.01)
    assert found.expression[80] == pytest.approx(np.full(len(MEASURED), -0.3), abs=0.02)
    assert found.expression[:, JAW].max() == pytest.approx(0.5, abs=0.02)


def test_a_larger_range_shrinks_to_the_avatars_and_a_smaller_one_is_stretched_as_asked():
    own = wide()
    own.low[JAW], own.high[JAW] = 0.0, 0.5
    found = retarget(track(talking()), own, FREE)
    assert found.expression[:, JAW].max() == pytest.approx(0.5, abs=0.02)
    assert not found.clamped[:, JAW].any()
    own.high[JAW] = 1.2  # half as much again as the driver's 0.8
    assert retarget(track(talking()), own, FREE).expression[:, JAW].max() == pytest.approx(0.8, abs=0.02)
    assert retarget(track(talking()), own, replace(FREE, match=1.0)).expression[:, JAW].max() == pytest.approx(1.2, abs=0.03)


def test_what_the_avatar_never_showed_is_clamped_and_counted():
    own = wide()
    own.low[JAW], own.high[JAW] = 0.0, 0.3
    found = retarget(track(talking()), own, replace(FREE, overshoot=0.1, mouth=2.0))
    assert found.expression[:, JAW].max() == pytest.approx(0.33, abs=1e-3)
    assert 0.05 < found.clamped[:, JAW].mean() < 0.4 and not found.clamped[:, LID].any()


def test_a_side_is_not_stretched_where_the_other_one_shrinks_far():
    """A smile that is shown at a fifth leaves what lies below the rest as it is, instead of twice as much."""
    driver, own = wide(), wide()
    driver.low[JAW], driver.high[JAW], own.low[JAW] = -0.5, 1.0, -2.0
    gains = []
    for high in (0.1, 0.3, 0.8):
        own.high[JAW] = high
        gains.append(side_gain(driver, own, "low", MEASURED, replace(FREE, match=1.0))[JAW])
        assert side_gain(driver, own, "high", MEASURED, FREE)[JAW] == pytest.approx(high)
    assert gains == pytest.approx([1.0, 1.5, 2.0])


def test_strength_by_region():
    found = retarget(track(talking()), wide(), replace(FREE, mouth=0.0))
    assert np.abs(found.expression).max() < 0.02
    assert {region_of(name) for name in ARKIT_52} == {"mouth", "lids", "brows", "gaze"}
    assert region_of("noseSneerLeft") == "mouth" and region_of("eyeSquintLeft") == "lids"


def test_rest_at_a_given_time():
    scores = talking()
    asked = driver_range(track(scores), neutral_s=0.5)
    assert asked.neutral[JAW] > 0.9
    with pytest.raises(SettingError, match="9.97 s"):
        driver_range(track(scores), neutral_s=60.0)


def test_somebody_who_always_smiles_is_not_taken_for_resting():
    """At 0.6 but for the end, which is serious: the smile is shown as one."""
    smile, own = [MEASURED.index(f"mouthSmile{side}") for side in ("Left", "Right")], wide()
    own.low[smile], own.high[smile] = -0.1, 1.0
    scores = np.zeros((200, len(MEASURED)))
    scores[:190, smile] = 0.6
    shown = retarget(track(scores), own, FREE).expression[:, smile]
    assert shown[100] == pytest.approx(0.3, abs=0.02) and shown[195] == pytest.approx(-0.1, abs=0.02)
    assert driver_range(track(scores), neutral_s=1.0).neutral[smile] == pytest.approx(0.6), "unless somebody says so"
    others = replace(track(scores), space="blendshapes")
    assert driver_range(others, None).neutral[smile] == pytest.approx(0.6, abs=0.01), "scores of another meaning are left alone"


def test_a_blink_is_neither_delayed_nor_flattened_and_noise_is():
    random, count = np.random.default_rng(0), 200
    scores = np.zeros((count, len(MEASURED)))
    for start in (60, 130):
        scores[start : start + 5, LID] = (0.5, 1.0, 1.0, 0.8, 0.3)
    noisy = scores + random.normal(scale=0.02, size=scores.shape)
    found = retarget(track(noisy), wide(), replace(RetargetSettings(), match=0.0)).expression
    for start in (60, 130):
        assert abs(int(found[start - 5 : start + 10, LID].argmax()) - 6.5) <= 1
        assert found[start : start + 5, LID].max() > 0.95
        shown, seen = (np.argmax(rows[start - 5 : start + 10, LID] > 0.5) for rows in (found, noisy))
        assert shown <= seen
    assert np.diff(found[:, JAW]).std() < 0.35 * np.diff(noisy[:, JAW]).std()


def test_one_euro_has_no_delay():
    wave = np.sin(2 * np.pi * 0.8 * np.arange(150) / RATE)[:, None]
    smooth = one_euro(wave, RATE, 2.5, 2.0)
    shifts = [np.corrcoef(smooth[10:-10, 0], wave[10 + shift : len(wave) - 10 + shift, 0])[0, 1] for shift in (-2, -1, 0, 1, 2)]
    assert int(np.argmax(shifts)) == 2 and shifts[2] > 0.999


def test_gaze_is_carried_over_closed_lids():
    scores = np.zeros((60, len(MEASURED)))
    scores[:, LOOK] = np.linspace(0, 0.6, 60)
    scores[20:26, LID], scores[20:26, LOOK] = 1.0, -0.9
    zero = np.zeros(len(MEASURED))
    carried = carry_gaze(scores, Calibration(zero, zero, zero + 1), MEASURED)
    assert carried[:, LOOK] == pytest.approx(np.linspace(0, 0.6, 60), abs=1e-6)


def test_a_smile_that_is_stronger_on_one_side_stays_so():
    """Both sides have one gain: of the driver's stronger and the avatar's mean range."""
    scores = talking()
    left, right = (MEASURED.index(f"mouthSmile{side}") for side in ("Left", "Right"))
    scores[:, left] += 0.9 * (scores[:, JAW] - 0.2)
    scores[:, right] += 0.3 * (scores[:, JAW] - 0.2)
    own = wide()
    own.low[:], own.high[[left, right]] = 0.0, (0.5, 0.3)
    found = retarget(track(scores), own, replace(FREE, match=1.0, overshoot=2.0)).expression
    assert found[:, left].max() / found[:, right].max() == pytest.approx(3.0, rel=0.05)
    assert found[:, left].max() == pytest.approx(0.4, abs=0.02)
    assert paired(np.arange(2.0), ("jawLeft", "jawRight"), np.max).tolist() == [0, 1]


def test_lips_and_lids_are_wanted_as_the_driver_has_them_unless_a_strength_says_otherwise() -> None:
    gaps = np.array([[0.0, 0.3, 0.3], [0.2, 0.15, 0.3]] * 10, np.float32)
    driver = replace(track(np.zeros((20, len(MEASURED)), np.float32)), openings=gaps)
    wanted = wanted_openings(driver, RetargetSettings())
    assert wanted[1] == pytest.approx([0.2, 0.5, 1.0])
    assert np.isnan(wanted_openings(driver, RetargetSettings(mouth=0.5))[:, 0]).all()
    assert np.isnan(wanted_openings(replace(driver, openings=None), RetargetSettings())).all()
