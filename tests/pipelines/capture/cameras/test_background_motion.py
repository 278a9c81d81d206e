"""Whether the camera moves, and points followed on a head: on drawn pictures in a capture's layout."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.capture.cameras.background_motion import background
from pipelines.capture.cameras.surface_tracks import LEAST_LENGTH, follow
from pipelines.capture.frames.scan import Scan, frame_name
from pipelines.capture.mattes.crop_squares import region
from pipelines.capture.mattes.person import REGION_PX
from pipelines.core.files import write_image
from pipelines.face.canonical import canonical_landmarks
from tests.pipelines.capture.heads import looking, project, scan_of


def drawn(partial: Path, room_px: float, head_deg: float, plain: bool = False) -> Scan:
    """13 frames of a speckled disk before a speckled wall that shifts by `room_px` a frame, in work/mattes and frames/."""
    import cv2

    rng = np.random.default_rng(0)
    wall = rng.integers(0, 255, (60, 160, 3)).astype(np.uint8)
    wall = cv2.resize(wall, (1280, 480), interpolation=cv2.INTER_CUBIC) if not plain else np.full((480, 1280, 3), 190, np.uint8)
    skin = cv2.resize(rng.integers(60, 200, (40, 40, 3)).astype(np.uint8), (320, 320), interpolation=cv2.INTER_CUBIC)
    seen = project(looking(np.linspace(-head_deg, head_deg, 13)), canonical_landmarks())
    chosen = scan_of(seen)
    for row in range(13):
        start = int(row * room_px)
        image, center = wall[:, start : start + 640].copy(), (int(320 + 4 * row), 220)
        disk = cv2.circle(np.zeros((480, 640), np.uint8), center, 130, 255, -1)
        pasted = np.zeros_like(image)
        pasted[60:380, center[0] - 160 : center[0] + 160] = skin
        image = np.where(disk[..., None] > 0, pasted, image)
        name = frame_name(int(chosen.index[row]))
        write_image(partial / "frames" / f"{name}.jpg", image)
        x0, y0, side = region(chosen.points[row])
        matrix = np.array([[side / REGION_PX, 0, x0], [0, side / REGION_PX, y0]])
        matte = cv2.warpAffine(disk, matrix, (REGION_PX, REGION_PX), flags=cv2.WARP_INVERSE_MAP)
        write_image(partial / "work" / "mattes" / f"{name}.png", matte)
    return chosen


@pytest.mark.parametrize(("room_px", "plain", "kind"), [(0.0, False, "still"), (20.0, False, "moving"), (0.0, True, "plain")])
def test_the_kind_of_background_is_found(tmp_path: Path, room_px: float, plain: bool, kind: str) -> None:
    assert background(tmp_path, drawn(tmp_path, room_px, 5.0, plain)).kind == kind


def test_points_are_followed_exactly_on_the_head_only(tmp_path: Path) -> None:
    found = follow(tmp_path, drawn(tmp_path, 0.0, 5.0))
    assert len(np.unique(found.track)) > 20
    assert np.bincount(found.track).min() >= LEAST_LENGTH
    first = {}
    shifts = []
    for frame, track, px in zip(found.frame, found.track, found.px, strict=True):
        row, start = first.setdefault(int(track), (int(frame), px))
        shifts.append(px - start - (4 * (frame - row), 0))
    assert np.median(np.abs(shifts)) < 0.15
