"""The mark: found after what happens to videos, not found where there is none."""

import math
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.media.encoder import write_video
from pipelines.provenance import finding
from pipelines.provenance.finding import FALSE_ALARM, TESTS, find_in_video, find_mark
from pipelines.provenance.mark import GROUPS, WORDS, Marker, code, pattern, payload_of, scale_of

SIZE = 256
PAYLOAD = "c0ffee42"


@pytest.fixture(scope="module")
def scene() -> list[np.ndarray]:
    """Clouds of every size with a head-like ellipse that moves."""
    random = np.random.default_rng(3)
    clouds = sum(cv2.GaussianBlur(random.normal(size=(SIZE, SIZE, 3)), (0, 0), width) * width for width in (1, 3, 9, 27))
    still = np.clip(128 + 25 * np.asarray(clouds), 0, 255)
    frames = []
    for number in range(24):
        frame = still.copy()
        cv2.ellipse(frame, (120 + 2 * number, 130), (60, 80), 5 * math.sin(number), 0, 360, (205, 170, 150), -1, cv2.LINE_AA)
        frames.append(frame.astype(np.uint8))
    return frames


@pytest.fixture(scope="module")
def marked(scene: list[np.ndarray]) -> list[np.ndarray]:
    marker = Marker(PAYLOAD)
    return [marker(frame) for frame in scene]


def test_the_code_is_the_one_of_version_1() -> None:
    """Another code would leave every video that is out there without its mark."""
    known = code()
    assert known.frequencies.shape == (1172, 2) and len(known.sync) == 296 and known.words.shape == (GROUPS, WORDS, 219)
    assert known.frequencies[:2].tolist() == [[-18, 11], [14, 8]]
    assert (known.words[3, 255, :3] * 128 / np.pi).round().tolist() == [157, 212, 23]


def test_pairs_of_opposite_frequencies_are_used_once() -> None:
    rows = {tuple(row) for row in code().frequencies.tolist()}
    assert len(rows) == 1172 and not any((-x, -y) in rows for x, y in rows)


@pytest.mark.parametrize(("side", "scale"), [(1024, 2.0), (512, 1.0), (256, 0.707), (64, 0.5)])
def test_the_pattern_grows_with_the_longer_side(side: int, scale: float) -> None:
    assert scale_of(side, side // 2) == scale_of(side // 2, side) == pytest.approx(scale, abs=1e-3)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (256, 256), (512, 512), (288, 512), (1024, 576)])
def test_the_pattern_has_unit_strength_at_every_size(height: int, width: int) -> None:
    waves = pattern(height, width, PAYLOAD)
    assert waves.shape == (height, width) and waves.std() == pytest.approx(1.0, abs=0.05) and abs(waves.mean()) < 0.05


@pytest.mark.parametrize(("height", "width"), [(128, 128), (256, 256), (512, 512), (288, 512), (1024, 576), (1024, 1024)])
@pytest.mark.parametrize("level", [0, 90, 128, 255])
def test_flat_stays_flat(height: int, width: int, level: int) -> None:
    picture = np.full((height, width, 3), level, np.uint8)
    assert np.array_equal(Marker(PAYLOAD)(picture), picture)


def test_a_soft_ramp_stays_as_it_is() -> None:
    ramp = np.broadcast_to(np.linspace(60, 200, 512).round().astype(np.uint8)[None, :, None], (512, 512, 3))
    added = Marker(PAYLOAD)(ramp).astype(float) - ramp
    assert np.sqrt(np.square(added).mean()) < 0.1


def test_the_mark_is_faint_and_where_the_texture_is(scene: list[np.ndarray]) -> None:
    half = scene[0].copy()
    half[:, SIZE // 2 :] = 128
    added = Marker(PAYLOAD)(half).astype(float) - half
    assert 1 < np.sqrt(np.square(added[:, : SIZE // 2 - 16]).mean()) < 2.6
    assert not added[:, SIZE // 2 + 16 :].any()


def test_all_colors_get_the_same_and_alpha_stays(scene: list[np.ndarray]) -> None:
    picture = np.dstack([scene[0], np.full((SIZE, SIZE), 200, np.uint8)])
    picture[..., :3] = np.clip(picture[..., :3], 20, 235)
    picture[:20, :, 3] = 0
    marked = Marker(PAYLOAD)(picture)
    added = marked.astype(int) - picture
    assert added[20:, :, 0].any() and all(np.array_equal(added[..., 0], added[..., color]) for color in (1, 2))
    assert not added[:20].any() and not added[..., 3].any() and marked.dtype == np.uint8


def test_the_same_payload_is_the_same_pattern_and_another_one_is_not() -> None:
    assert np.array_equal(pattern(96, 80, PAYLOAD), pattern(96, 80, PAYLOAD))
    assert not np.array_equal(pattern(96, 80, PAYLOAD), pattern(96, 80, "c0ffee43"))
    assert payload_of("0123456789abcdef" * 4) == "01234567"


def test_found_in_its_own_pictures(marked: list[np.ndarray]) -> None:
    found = find_mark(marked)
    assert found.found and found.payload == PAYLOAD and found.sure and found.frames == 24
    assert found.z > 15 and found.false_alarm < 1e-30 and found.scale == pytest.approx(0.707, rel=0.005)


def test_found_in_a_crop_at_another_size(marked: list[np.ndarray]) -> None:
    """5 % cut off, then 1.2 times as large: nothing near the scale that is tried first."""
    cut = [cv2.resize(frame[9:-4, 3:-10], None, fx=1.2, fy=1.2, interpolation=cv2.INTER_CUBIC) for frame in marked]
    found = find_mark(cut)
    assert found.payload == PAYLOAD and found.scale == pytest.approx(1.2 * 0.707, rel=0.005)


def test_found_as_earlier_versions_made_it(scene: list[np.ndarray]) -> None:
    """Of even strength, 1.41 gray levels at 256 pixels: their videos are out there."""
    even = np.rint(1.414 * pattern(SIZE, SIZE, PAYLOAD)).astype(np.int16)[..., None]
    assert find_mark((frame + even).clip(0, 255).astype(np.uint8) for frame in scene).payload == PAYLOAD


def test_found_in_a_tall_picture(scene: list[np.ndarray]) -> None:
    tall = [np.ascontiguousarray(cv2.resize(frame, (288, 512), interpolation=cv2.INTER_CUBIC)) for frame in scene]
    marker = Marker(PAYLOAD)
    found = find_mark(marker(frame) for frame in tall)
    assert found.payload == PAYLOAD and found.scale == pytest.approx(1.0, rel=0.005) and found.texture > 0.1


def test_found_beside_other_pictures(scene: list[np.ndarray], marked: list[np.ndarray]) -> None:
    """As --side-by-side shows it."""
    assert find_mark(np.hstack([other[:, ::-1], own]) for other, own in zip(scene, marked, strict=True)).payload == PAYLOAD


def test_found_in_an_encoded_video(tmp_path: Path, marked: list[np.ndarray]) -> None:
    write_video(tmp_path / "a.mp4", iter(marked), Fraction(25))
    assert find_in_video(tmp_path / "a.mp4").payload == PAYLOAD


def test_nothing_is_found_where_nothing_is(scene: list[np.ndarray]) -> None:
    found = find_mark(scene)
    assert not found.found and found.payload is None and not found.sure and found.false_alarm > 1e-3
    assert found.z == pytest.approx(found.record()["z"]) and found.record()["confidence"] == 1 - found.false_alarm


def test_another_code_is_not_found(monkeypatch: pytest.MonkeyPatch, marked: list[np.ndarray]) -> None:
    from pipelines.provenance import mark

    monkeypatch.setattr(mark, "KEY", b"somebody else")
    other = mark.code.__wrapped__()
    monkeypatch.setattr(finding, "code", lambda: other)
    assert not find_mark(marked).found


def test_no_pictures_hold_no_mark() -> None:
    assert not find_mark([]).found


def test_flat_and_black_pictures_hold_no_mark() -> None:
    found = find_mark([np.zeros((64, 64, 3), np.uint8)])
    assert not found.found and found.texture == 0.0


def test_the_bound_is_kept_by_random_phases() -> None:
    """P(z >= c) <= exp(-c^2 / 2) for one place, weights being what they may: the threshold stands on it."""
    random = np.random.default_rng(1)
    weights = random.exponential(size=200)
    phases = random.uniform(0, 2 * np.pi, (50_000, 200))
    z = (weights * np.cos(phases)).sum(1) / np.sqrt(np.square(weights).sum() / 2)
    assert all((z >= c).mean() <= np.exp(-c * c / 2) for c in (1.0, 2.0, 3.0))
    assert z.std() == pytest.approx(1, abs=0.02)
    least = math.sqrt(2 * (math.log(TESTS) + 32 * math.log(2) - math.log(FALSE_ALARM)))
    assert least == pytest.approx(10.15, abs=0.05)
