"""Numbers from points: pose, expression channels, rest and range."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import SettingError
from pipelines.face.canonical import canonical_landmarks
from pipelines.face.channels import LEFT, half_features
from pipelines.face.expression import (
    ARKIT_52,
    MEASURED,
    OPPOSITE,
    RIGID,
    align_to_canonical,
    calibrate,
    expression,
    frontality,
    measure_expression,
    solve_pose,
    space_names,
)
from pipelines.face.tracker import FaceLandmarks
from pipelines.geometry.rigid import similarity  # fmt: skip


@pytest.fixture(scope="module")
def canonical() -> np.ndarray:
    return load_prior("quick").landmarks.astype(np.float64)


def seen(head: np.ndarray, yaw_deg: float = 0.0, pitch_deg: float = 0.0, size: float = 600.0) -> np.ndarray:
    """The tracker's points [478,3] of a head in head units: turned, scaled, y down, z smaller = nearer."""
    turned = head @ Rotation.from_euler("YX", [yaw_deg, pitch_deg], degrees=True).as_matrix().T
    return turned * size * (1.0, -1.0, -1.0) + (320.0, 240.0, 0.0)


def score(head: np.ndarray, canonical: np.ndarray, name: str, **view: float) -> float:
    return float(measure_expression(seen(head, **view), canonical)[MEASURED.index(name)])


def test_names_are_arkits_and_opposites_are_channels():
    assert len(set(ARKIT_52)) == 52 and set(MEASURED) <= set(ARKIT_52)
    assert set(OPPOSITE) <= set(MEASURED) and not set(OPPOSITE.values()) & set(MEASURED)
    assert space_names("measured") == MEASURED and space_names("blendshapes") == ARKIT_52
    with pytest.raises(SettingError, match="measured or blendshapes"):
        space_names("flame")


def test_similarity_is_recovered_in_spite_of_outliers():
    random = np.random.default_rng(0)
    source = random.normal(size=(50, 3))
    rotation = Rotation.from_rotvec([0.3, -0.2, 0.5]).as_matrix()
    target = 1.7 * source @ rotation.T + (1, 2, 3)
    target[:8] += random.normal(size=(8, 3))
    scale, found, shift = similarity(source, target, rounds=30)
    assert scale == pytest.approx(1.7, rel=1e-2)
    assert np.allclose(found, rotation, atol=1e-2) and np.allclose(shift, (1, 2, 3), atol=2e-2)


def test_laying_over_undoes_pose_and_size(canonical: np.ndarray):
    back = align_to_canonical(seen(canonical, yaw_deg=25, pitch_deg=-10, size=150), canonical)[0]
    assert np.abs(back - canonical).max() < 1e-6


def test_a_rotated_face_scores_as_the_frontal_one_but_for_the_known_bend(canonical: np.ndarray):
    frontal, turned = (measure_expression(seen(canonical, yaw_deg=yaw), canonical) for yaw in (0, 15))
    assert np.abs(frontal - turned).max() < 0.5  # the correction for the tracker's own bending, which a rigid turn lacks
    nodded = measure_expression(seen(canonical, pitch_deg=15), canonical)
    assert np.abs(frontal - nodded).max() < 1e-3


def test_the_mean_resting_face_is_near_zero(canonical: np.ndarray):
    rest = measure_expression(seen(canonical), canonical)
    assert np.abs(rest).max() < 0.75 and np.abs(rest).mean() < 0.3


def test_opening_the_jaw_raises_jaw_open_most(canonical: np.ndarray):
    eyes = np.linalg.norm(canonical[33] - canonical[263])
    opened = canonical.copy()
    chin = [152, 148, 176, 149, 150, 377, 400, 378, 379, 175, 199, 200, 18, 17, 84, 181, 314, 405, 14, 87, 178, 317, 402]
    opened[chin, 1] -= 0.25 * eyes
    opened[[152, 175, 199], 2] -= 0.08 * eyes
    change = measure_expression(seen(opened), canonical) - measure_expression(seen(canonical), canonical)
    assert change[MEASURED.index("jawOpen")] > 0.6


def test_left_is_the_persons_left(canonical: np.ndarray):
    winked = canonical.copy()
    for upper, lower in LEFT.lid_pairs:
        winked[upper] = winked[lower]
    assert canonical[LEFT.corner[0], 0] > 0
    left, right = (score(winked, canonical, f"eyeBlink{side}") for side in ("Left", "Right"))
    assert left > 0.9 and right < 0.4
    looking = canonical.copy()
    looking[[468, 473], 0] += 0.15 * np.linalg.norm(canonical[33] - canonical[133])
    change = measure_expression(seen(looking), canonical) - measure_expression(seen(canonical), canonical)
    assert change[MEASURED.index("eyeLookOutLeft")] > 0.2 and change[MEASURED.index("eyeLookOutRight")] < -0.2


def test_mirroring_a_face_swaps_left_and_right(canonical: np.ndarray):
    mirror = np.linalg.norm(canonical[:, None] * (-1, 1, 1) - canonical, axis=2).argmin(axis=1)
    mirror[[468, 473]] = [473, 468]
    random = np.random.default_rng(1)
    face = canonical + random.normal(scale=0.004, size=canonical.shape)
    plain, other = (
        measure_expression(seen(face, yaw_deg=8), canonical),
        measure_expression(seen((face * (-1, 1, 1))[mirror], yaw_deg=-8), canonical),
    )
    for index, name in enumerate(MEASURED):
        if name in ("jawLeft", "mouthLeft"):
            assert other[index] == pytest.approx(-plain[index], abs=0.05)
        elif name.endswith("Left"):
            assert other[MEASURED.index(name[:-4] + "Right")] == pytest.approx(plain[index], abs=0.05)


@pytest.mark.parametrize("yaw_deg", [-40.0, 0.0, 30.0])
def test_pose_is_recovered_from_pixels(canonical: np.ndarray, yaw_deg: float):
    truth = np.eye(4)
    truth[:3, :3] = Rotation.from_euler("YX", [yaw_deg, 8], degrees=True).as_matrix() @ np.diag([1.0, -1.0, -1.0])
    truth[:3, 3] = (0.1, -0.05, 2.5)
    inside = canonical @ truth[:3, :3].T + truth[:3, 3]
    pixels = 900 * inside[:, :2] / inside[:, 2:] + (320, 240)
    pixels[RIGID[:4]] += 40  # a hand over an eye
    pose, error = solve_pose(pixels, canonical, 900.0, (320.0, 240.0))
    assert np.abs(pose - truth).max() < 0.02 and error < 0.5
    steady, _ = solve_pose(pixels, canonical, 900.0, (320.0, 240.0), guess=pose)
    assert np.abs(steady - truth).max() < 0.02


def test_a_wrong_guess_is_not_trusted(canonical: np.ndarray):
    truth = np.eye(4)
    truth[:3, :3], truth[:3, 3] = np.diag([1.0, -1.0, -1.0]), (0, 0, 2.5)
    inside = canonical @ truth[:3, :3].T + truth[:3, 3]
    pixels = 900 * inside[:, :2] / inside[:, 2:] + (320, 240)
    backwards = truth.copy()
    backwards[:3, :3] = np.diag([-1.0, -1.0, 1.0])
    assert np.abs(solve_pose(pixels, canonical, 900.0, (320.0, 240.0), guess=backwards)[0] - truth).max() < 0.02


def test_rest_is_found_in_a_clip_half_full_of_grimaces():
    random = np.random.default_rng(0)
    rest = np.array([0.1, -0.2, 0.3])
    calm = rest + random.normal(scale=0.02, size=(100, 3))
    busy = random.uniform(0, 1, size=(90, 3))
    lost = np.full((10, 3), 50.0)
    found = calibrate(np.concatenate([calm, busy, lost]), np.arange(200) < 190)
    assert np.abs(found.neutral - rest).max() < 0.05
    assert (found.low <= found.neutral).all() and (found.high > 0.9).all() and (found.high < 1.1).all()
    with pytest.raises(SettingError):
        calibrate(busy, np.zeros(90, bool))


def test_long_closed_eyes_are_not_taken_for_rest():
    random = np.random.default_rng(0)
    rows = random.normal(scale=0.03, size=(300, 4))
    rows[:180, 0] += 0.9  # lids lowered most of the time, and calmer than the rest of the clip
    rows[180:, 1] += random.uniform(0, 0.3, size=120)
    assert calibrate(rows, np.ones(300, bool)).neutral == pytest.approx(np.zeros(4), abs=0.1)


def test_blendshapes_need_their_model(canonical: np.ndarray):
    face = FaceLandmarks(seen(canonical).astype(np.float32), (0, 0, 1, 1))
    assert expression(face, canonical, "measured").shape == (len(MEASURED),)
    with pytest.raises(SettingError, match="face_landmarker.task"):
        expression(face, canonical, "blendshapes")


def test_a_landmark_counts_half_at_twenty_degrees_and_little_in_profile() -> None:
    assert frontality(np.array([0.0, 20.0, -40.0])) == pytest.approx([1, 1 / 2, 1 / 17])


def test_lids_and_irises_are_measured_in_eye_widths() -> None:
    points = canonical_landmarks() * 10
    points[LEFT.iris, :2] += (0.02, 0.05)
    small, large = (half_features(scale * points, LEFT) for scale in (1.0, 2.0))
    for name in ("lids", "lower_lid_y", "iris_x", "iris_y"):
        assert large[name] == pytest.approx(small[name]) and small[name] != 0
    assert large["upper_y"] == pytest.approx(2 * small["upper_y"])
