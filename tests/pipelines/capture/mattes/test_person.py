"""Mattes: where they are taken, how they are refined, that they do not flicker."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.capture.mattes.closed_form import STEPS, closed_form, laplacian, trimap
from pipelines.capture.mattes.crop_squares import region
from pipelines.capture.mattes.person import (
    UNSTEADY,
    MatteSettings,
    confidence,
    matte_frames,
    matte_weight,
    matting,
)
from pipelines.capture.mattes.temporal import Steady
from pipelines.core.files import read_arrays, read_image, write_image
from pipelines.core.stage import Silent
from pipelines.media.squares import cut_square, inside
from tests.material import DEMO


def test_a_cut_shows_what_lies_there() -> None:
    """On a ramp the value at a pixel's center is its place, whatever the size of the cut."""
    ramp = np.tile((np.arange(200) + 0.5)[None, :], (200, 1)).astype(np.float32)
    for size in (40, 64, 160):
        cut = cut_square(ramp, (50.25, 30.0, 80.0), size)
        expected = 50.25 + (np.arange(size) + 0.5) * 80 / size
        assert np.abs(cut[size // 2, 3:-3] - expected[3:-3]).max() < 0.06


def test_beyond_the_border_edges_repeat_or_a_value_stands() -> None:
    image = np.full((50, 50), 200, np.uint8)
    assert cut_square(image, (-25, 0, 50), 50).min() == 200
    assert cut_square(image, (-25, 0, 50), 50, outside=0)[:, :24].max() == 0


def test_the_region_holds_head_and_shoulders() -> None:
    points = np.zeros((478, 3), np.float32)
    points[:2] = [[100, 100, 0], [160, 200, 0]]
    points[2:] = [130, 150, 0]
    x0, y0, side = region(points)
    assert side == pytest.approx(230)
    assert x0 + side / 2 == pytest.approx(130)
    assert y0 < 100 - 60 and y0 + side > 200 + 45


def test_a_square_inside_another() -> None:
    assert inside((10, 20, 50), (0, 20, 100), 200) == (20.0, 0.0, 100.0)


def hairy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark head with fine strands before a bright wall: picture, true alpha, and the soft mask a network would give."""
    import cv2

    y, x = np.mgrid[:192, :192]
    alpha = (np.hypot(x - 96, y - 110) < 55).astype(np.float32)
    for column in range(80, 112, 6):
        alpha[50:62, column : column + 2] = 1
    alpha = cv2.GaussianBlur(alpha, (0, 0), 0.8)
    rng = np.random.default_rng(0)
    dark, bright = 40 + 8 * rng.random((192, 192, 3)), 190 + 30 * rng.random((192, 192, 3))
    picture = alpha[..., None] * dark + (1 - alpha[..., None]) * bright
    return picture.astype(np.uint8), alpha, cv2.GaussianBlur((alpha > 0.5).astype(np.float32), (0, 0), 4)


def test_closed_form_matting_finds_the_strands() -> None:
    picture, alpha, mask = hairy()
    found, is_open = closed_form(picture, mask), trimap(mask) == 0.5
    assert found.dtype == np.float32 and 0 <= found.min() <= found.max() <= 1
    assert np.abs(found - alpha)[is_open].mean() < 0.25 * np.abs(mask - alpha)[is_open].mean()
    tips = np.s_[51:54, 80:112]
    assert np.corrcoef(found[tips].ravel(), alpha[tips].ravel())[0, 1] > 0.9
    assert np.corrcoef(mask[tips].ravel(), alpha[tips].ravel())[0, 1] < 0.5


def test_the_laplacian_knows_no_constant_and_no_line_of_colors() -> None:
    """Rows sum to 0, and an alpha that is linear in the colors costs next to nothing (Levin's theorem 1)."""
    picture, _, _ = hairy()
    is_open = np.zeros(picture.shape[:2], bool)
    is_open[40:60, 80:112] = True
    parts, places = laplacian(picture, is_open), np.flatnonzero(is_open)
    assert parts.shape == (25, is_open.sum()) and np.abs(parts.sum(0)).max() < 1e-9 and parts[12].min() > 1
    others = places + np.array([[dy * picture.shape[1] + dx] for dy, dx in STEPS])
    linear, other = picture.reshape(-1, 3) @ (0.3, 0.6, 0.1) / 255, np.random.default_rng(0).random(picture.size // 3)
    assert np.abs((parts * linear[others]).sum(0)).max() < 1e-3 < np.abs((parts * other[others]).sum(0)).mean()


def test_the_laplacian_is_levins() -> None:
    """One pixel open in the middle of flat 5x5 colors: each of its 9 windows adds -1/9 to 9 pixels, and 1 to itself."""
    is_open = np.zeros((5, 5), bool)
    is_open[2, 2] = True
    parts = laplacian(np.full((5, 5, 3), 80, np.uint8), is_open)[:, 0].reshape(5, 5)
    shared = np.outer([1, 2, 3, 2, 1], [1, 2, 3, 2, 1])
    assert np.allclose(parts, np.where(is_open, 9, 0) - shared / 9)


def test_a_mask_without_a_border_stays() -> None:
    picture, _, _ = hairy()
    for value in (0.0, 0.5, 1.0):
        mask = np.full(picture.shape[:2], value, np.float32)
        assert np.array_equal(closed_form(picture, mask), mask)


@pytest.mark.slow
def test_closed_form_matting_agrees_with_pymatting() -> None:
    pymatting = pytest.importorskip("pymatting")
    from pipelines.capture.mattes.closed_form import HAZE

    picture, _, mask = hairy()
    theirs = pymatting.estimate_alpha_cf(picture / 255.0, trimap(mask), laplacian_kwargs={"epsilon": 1e-6})
    assert np.abs(np.clip((theirs - HAZE) / (1 - 2 * HAZE), 0, 1) - closed_form(picture, mask)).mean() < 0.01


@pytest.fixture
def still(tmp_path: Path) -> tuple[Path, Scan, list[np.ndarray]]:
    """Six frames of a still head, the last two with the head moved; single mattes with an edge that jumps to and fro."""
    frames, index = tmp_path / "frames", np.arange(6) * 3
    singles = []
    for row, number in enumerate(index):
        y, x = np.mgrid[:160, :160]
        head = np.hypot(x - (80 if row < 4 else 110), y - 80) < 40
        write_image(frames / f"{frame_name(int(number))}.jpg", np.where(head[..., None], 60, 200).repeat(3, 2).astype(np.uint8))
        singles.append(np.where(np.hypot(x - (80 if row < 4 else 110), y - 80) < 40 + 2 * (row % 2), 255, 0).astype(np.uint8))
        write_image(tmp_path / "single" / f"{frame_name(int(number))}.png", singles[-1])
    empty = np.zeros(6)
    seen = Scan(index=index, time_s=index / 30, points=np.zeros((6, 478, 3)), sharpness=empty, brightness=empty, reason=empty)
    return tmp_path, seen, singles


def test_mattes_of_a_still_head_come_to_rest_and_a_moved_head_drags_nothing(
    still: tuple[Path, Scan, list[np.ndarray]],
) -> None:
    folder, seen, singles = still
    moments = Steady(
        frames=folder / "frames", mattes=folder / "single", index=seen.index, time_s=seen.time_s, boxes=[(0.0, 0.0, 160.0)] * 6
    )
    found = [moments.at(row) for row in range(6)]
    before, after = (np.abs(a[1].astype(float) - a[0]).mean() for a in (singles, [one.alpha for one in found]))
    assert after < 0.6 * before
    assert found[0].change > 0.005
    assert np.abs(found[4].alpha.astype(float) - singles[4])[:, :60].max() < 2


@pytest.mark.parametrize("size", [160, 1440])
def test_a_neighbor_is_looked_at_in_the_square_of_the_frame_whatever_its_size(tmp_path: Path, size: int) -> None:
    """Two frames that differ beside the square alone: their mattes come to the same."""
    for row in range(2):
        picture = np.full((size, size, 3), 250 * row, np.uint8)
        picture[size // 5 : size * 4 // 5, size * 2 // 5 :] = 200
        write_image(tmp_path / "frames" / f"{frame_name(row)}.jpg", picture)
        matte = np.zeros((96, 96), np.uint8)
        matte[:, 40 + 4 * row :] = 255
        write_image(tmp_path / "single" / f"{frame_name(row)}.png", matte)
    box = (0.5 * size, 0.25 * size, 0.5 * size)
    moments = Steady(
        frames=tmp_path / "frames", mattes=tmp_path / "single", index=np.arange(2), time_s=np.arange(2) / 30, boxes=[box] * 2
    )
    assert np.abs(moments.at(0).alpha[:, 41:43].astype(int) - 128).max() <= 2


def test_a_matte_without_anybody_is_off_by_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "frames" / f"{frame_name(0)}.jpg", np.full((64, 64, 3), 90, np.uint8))
    write_image(tmp_path / "single" / f"{frame_name(0)}.png", np.zeros((64, 64), np.uint8))
    alone = Steady(
        frames=tmp_path / "frames", mattes=tmp_path / "single", index=np.arange(1), time_s=np.zeros(1), boxes=[(0.0, 0.0, 64.0)]
    )
    assert alone.at(0).change == 0.0 and not alone.at(0).alpha.any()


def test_frames_are_matted_once_and_a_broken_run_continues_to_the_same(
    still: tuple[Path, Scan, list[np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen, _ = still
    points = np.tile(np.array([80.0, 80.0, 0.0]), (6, 478, 1)) + np.linspace(-25, 25, 478)[:, None]
    chosen = Scan(**{**vars(seen), "points": points.astype(np.float32)})
    called = []

    def matte(image: np.ndarray) -> np.ndarray:
        called.append(1)
        return (image.mean(2) < 130).astype(np.float32)

    monkeypatch.setattr("pipelines.capture.mattes.person.matting", lambda settings: matte)
    figures = matte_frames(folder, chosen, MatteSettings(), Silent())
    first = [read_image(folder / "work" / "mattes" / f"{frame_name(index)}.png") for index in seen.index]
    assert len(called) == 6 and len(figures["confidence"]) == 6 and 0.5 < figures["confidence_least"] <= 1
    for path in (folder / "work" / "mattes").glob("00000*.png"):
        path.unlink()
    assert matte_frames(folder, chosen, MatteSettings(), Silent()) == figures and len(called) == 6
    again = [read_image(folder / "work" / "mattes" / f"{frame_name(index)}.png") for index in seen.index]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("steady", [True, False])
def test_the_confidence_of_a_frame_is_that_of_its_matte_less_what_it_is_off_its_neighbors(
    still: tuple[Path, Scan, list[np.ndarray]], monkeypatch: pytest.MonkeyPatch, steady: bool
) -> None:
    folder, seen, _ = still
    points = np.tile(np.array([80.0, 80.0, 0.0]), (6, 478, 1)) + np.linspace(-25, 25, 478)[:, None]
    numbers = iter(range(6))

    def matte(image: np.ndarray) -> np.ndarray:
        number = next(numbers)
        head = (image.mean(2) < 130).astype(np.float32)
        return head * (0.7 if number == 0 else 1.0) if number != 2 else np.zeros_like(head)

    monkeypatch.setattr("pipelines.capture.mattes.person.matting", lambda settings: matte)
    chosen = Scan(**{**vars(seen), "points": points.astype(np.float32)})
    figures = matte_frames(folder, chosen, MatteSettings(steady=steady), Silent())
    kept = read_arrays(folder / "work" / "mattes.npz")
    pictures = [read_image(folder / "work" / "mattes" / f"{frame_name(index)}.png") for index in seen.index]
    expected = np.array([confidence(picture) for picture in pictures]) / (1 + kept["change"] / UNSTEADY)
    assert kept["confidence"] == pytest.approx(expected) and (kept["change"].max() > 0.01) == steady
    assert figures["confidence"] == pytest.approx(expected, abs=0.001) and figures["confidence_least"] == expected.min()
    assert figures["confidence_median"] == np.median(expected) and expected[0] < 0.8 < 0.9 < expected[5]


def test_confidence_is_low_where_the_rim_is_undecided() -> None:
    solid = np.zeros((128, 128), np.uint8)
    solid[30:, 30:98] = 255
    vague = np.where(solid > 0, 150, 110).astype(np.uint8)
    assert confidence(solid) > 0.95 > 0.4 > confidence(vague)
    assert confidence(np.zeros((128, 128), np.uint8)) == 0


def test_doubtful_mattes_weigh_less_in_training() -> None:
    assert matte_weight(np.array([0.9, 0.6, 0.3, 0.0])).tolist() == [1.0, 1.0, 0.5, 0.05]


def test_the_embedded_model_finds_a_person_and_no_wall() -> None:
    alpha = matting(MatteSettings())(person())
    height, width = alpha.shape
    assert alpha[height // 2, width // 2] > 0.95
    assert alpha[: height // 3, : width // 8].max() < 0.1
    again = matting(MatteSettings())(person())
    assert np.array_equal(alpha, again)


def person() -> np.ndarray:
    """The first frame of the demo clip, a square around the head."""
    from pipelines.media.video import read_frames

    clip = DEMO
    image = next(read_frames(clip, indices={0})).image
    return cut_square(image, (0.0, 40.0, float(image.shape[1])), 384)
