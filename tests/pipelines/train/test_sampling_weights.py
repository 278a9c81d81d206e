import numpy as np

from pipelines.train.sampling_weights import MOST, rarity

NAMES = ("cheekPuff", "jawOpen", "eyeBlinkLeft")


def cameras(yaw_deg: np.ndarray) -> np.ndarray:
    """[N,4,4] around the head; 0 is in front."""
    result = np.tile(np.eye(4), (len(yaw_deg), 1, 1))
    yaw = np.radians(yaw_deg)
    result[:, 0, 2], result[:, 2, 2] = np.sin(yaw), -np.cos(yaw)
    return result


def test_rare_faces_and_views_count_more() -> None:
    expression, yaw = np.random.default_rng(0).normal(0, 0.01, (100, 3)), np.zeros(100)
    expression[0, 2], expression[1, 0], yaw[2] = 1.0, 1.0, 70.0
    found = rarity(expression, NAMES, cameras(yaw))
    assert found[0] == MOST and found[2] == MOST, "a blink, a profile"
    assert 0.9 < found[1] < 1.2 and 0.9 < np.median(found) < 1.2, "cheeks are not looked at"


def test_lost_faces_count_as_average_ones() -> None:
    expression = np.random.default_rng(0).normal(0, 0.01, (50, 3))
    expression[:5] = np.nan
    found = rarity(expression, NAMES, cameras(np.zeros(50)))
    assert np.isfinite(found).all() and (found[:5] == 1).all()
    assert (rarity(np.full((4, 3), np.nan), NAMES, cameras(np.zeros(4))) == 1).all()


def test_frames_with_an_open_mouth_come_about_as_often_as_closed_ones() -> None:
    jaw = np.where(np.arange(200) < 180, 0.0, 0.6)[:, None]
    found = rarity(jaw, ("jawOpen",), cameras(np.zeros(200)))
    assert 0.3 < found[180:].sum() / found.sum() < 0.6, "a tenth of the frames"
