"""What a lens bends is made straight: places exactly, pictures and mattes once, and a run that was broken off continues."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.capture.footage import undistort
from pipelines.capture.footage.lens import Lens
from pipelines.capture.footage.source import Footage, Part
from pipelines.capture.frames import extract
from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.capture.mattes.crop_squares import region
from pipelines.capture.mattes.person import REGION_PX
from pipelines.core.files import read_image, write_arrays, write_image
from pipelines.core.stage import Silent
from pipelines.face.canonical import canonical_landmarks
from pipelines.media.encoder import write_video
from pipelines.media.squares import cut_square
from pipelines.media.video import VideoInfo, probe
from tests.pipelines.capture.heads import FOCAL_PX, SIZE, looking, project, scan_of

BARREL = Lens(k1=-0.1, focal_px=100.0, size=(100, 100))


def test_the_worked_numbers() -> None:
    assert BARREL.distort(np.array([80.0, 90.0])) == pytest.approx([79.25, 89.0])
    assert Lens(k1=0.08, focal_px=1000.0, size=(600, 800)).bend_px == pytest.approx(10.0)


@pytest.mark.parametrize("k1", [-0.3, -0.08, 0.0, 0.08, 0.5])
def test_distort_and_undistort_undo_each_other(k1: float) -> None:
    lens = replace(BARREL, k1=k1)
    px = np.random.default_rng(0).uniform(0, 100, (50, 2))
    assert np.allclose(lens.distort(lens.undistort(px)), px, atol=1e-6)
    assert np.allclose(lens.undistort(lens.distort(px)), px, atol=1e-6)
    assert bool(lens) == (k1 != 0)


def test_what_no_lens_can_show_stays_finite() -> None:
    far = Lens(k1=-2.0, focal_px=100.0, size=(100, 100)).undistort(np.array([[100.0, 100.0], [50.0, 50.0]]))
    assert np.isfinite(far).all() and np.allclose(far[1], 50)
    assert np.linalg.norm(far[0] - 50) == pytest.approx(0.99 * 100 * np.sqrt(1 / 6), rel=1e-3), "r (1 - 2 r^2) is largest there"


def test_frames_without_a_face_stay_without() -> None:
    chosen = scan_of(project(looking(np.array([0.0, 10.0])), canonical_landmarks()))
    chosen.points[1] = 0
    found = Lens(k1=-0.1, focal_px=FOCAL_PX, size=SIZE).points(chosen)
    assert np.all(found.points[1] == 0)
    assert 0 < np.abs(found.points[0] - chosen.points[0]).max() < 30


LENS = Lens(k1=-0.25, focal_px=150.0, size=(160, 120))
SPOT = np.array([139.0, 25.0])


def clip_of(folder: Path) -> tuple[Footage, Scan]:
    """Two frames of a bright spot that an ideal camera would see at SPOT, filmed through LENS, and their mattes of it."""
    x, y = np.meshgrid(np.arange(160) + 0.5, np.arange(120) + 0.5)
    at = LENS.distort(SPOT)
    spot = 255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 18)
    image = np.repeat(spot[..., None], 3, 2).round().astype(np.uint8)
    write_video(folder / "a.mp4", [image, image], 10)
    info: VideoInfo = probe(folder / "a.mp4")
    footage = Footage(kind="video", info=info, parts=(Part(path=info.path, longest_px=160, info=info),), inputs={})
    points = np.zeros((2, 478, 2))
    points[:, :, :] = np.random.default_rng(1).uniform((100, 20), (130, 60), (478, 2))
    partial = folder / "partial"
    for row in range(2):
        write_image(partial / "frames" / f"{frame_name(row)}.jpg", image)
        matte = cut_square(image[..., 0], region(scan_of(points).points[row]), REGION_PX)
        write_image(partial / "work" / "mattes" / f"{frame_name(row)}.png", matte)
        write_arrays(partial / "work" / "mattes" / f"{frame_name(row)}.npz", change=np.array(0.25))
    return footage, scan_of(points)


def center_of(image: np.ndarray) -> np.ndarray:
    light = image.astype(float) ** 2
    down, across = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return np.array([(light * across).sum(), (light * down).sum()]) / light.sum()


def test_frames_and_mattes_become_straight(tmp_path: Path) -> None:
    footage, chosen = clip_of(tmp_path)
    partial = tmp_path / "partial"
    unseen = chosen.rows(np.zeros(0, int))
    assert np.linalg.norm(LENS.distort(SPOT) - SPOT) > 3
    figures = undistort.undistort(partial, footage, chosen, unseen, LENS, Silent())
    assert figures["k1"] == LENS.k1 and figures["corners_px"] > 5
    assert center_of(read_image(partial / "frames" / "000001.jpg")[..., 0]) == pytest.approx(SPOT, abs=0.3)
    square = region(LENS.points(chosen).points[1])
    found = center_of(read_image(partial / "work" / "mattes" / "000001.png"))
    assert found * square[2] / REGION_PX + square[:2] == pytest.approx(SPOT, abs=0.4)
    assert (partial / "work" / "mattes" / "000001.npz").exists()


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_run_broken_off_there_continues_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        footage, chosen = clip_of(folder)
        left = iter(range(calls if folder == broken else 99))

        def written(path: Path, image: np.ndarray, left=left) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            write_image(path, image)

        unseen = chosen.rows(np.zeros(0, int))
        with monkeypatch.context() as patch:
            patch.setattr(extract, "write_image", written)
            patch.setattr(undistort, "write_image", written)
            if folder == broken:
                with pytest.raises(KeyboardInterrupt):
                    undistort.undistort(folder / "partial", footage, chosen, unseen, LENS, Silent())
        for _ in range(2):
            undistort.undistort(folder / "partial", footage, chosen, unseen, LENS, Silent())
    for path in whole.glob("partial/**/*.*"):
        if path.suffix in {".jpg", ".png"}:
            assert path.read_bytes() == (broken / path.relative_to(whole)).read_bytes()
