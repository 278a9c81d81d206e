"""What stands still in a still view."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts import save_track
from pipelines.drive import DriveSettings, ViewSettings, drive
from pipelines.drive.calm import Calm, face_share
from pipelines.drive.torso import project
from pipelines.files import read_image
from pipelines.priors import load_prior
from pipelines.stage import Silent
from tests.pipelines.drive.takes import moving
from tests.tiny import write_tiny_avatar

FRONTAL = np.diag([1.0, -1.0, -1.0, 1.0])
FRONTAL[2, 3] = 2.7
LENS = np.array([[1.6, 0, 0.5], [0, 1.6, 0.5], [0, 0, 1]])
LANDMARKS = load_prior("quick").landmarks.astype(np.float64)


def at(share: np.ndarray, point: np.ndarray) -> float:
    x, y = project(FRONTAL, LENS, point[None])[0, :2] * len(share)
    return float(share[int(y), int(x), 0])


def test_the_whole_face_moves_with_room_for_the_jaw_and_nothing_else():
    share = face_share(LANDMARKS, FRONTAL, LENS, 256)
    assert min(at(share, point) for point in LANDMARKS) > 0.9
    height, chin = np.ptp(LANDMARKS[:, 1]), LANDMARKS[152]
    assert at(share, chin - (0, 0.2 * height, 0)) > 0.9 and at(share, chin - (0, 0.6 * height, 0)) == 0
    assert at(share, LANDMARKS[10] + (0, 0.45 * height, 0)) == 0, "hair"
    assert share[0].max() == share[:, 0].max() == 0 and np.abs(np.diff(share[..., 0], axis=1)).max() < 0.2


def test_inside_the_face_nothing_changes():
    random = np.random.default_rng(0)
    head, rest = random.random((64, 64, 4), np.float32), random.random((64, 64, 4), np.float32)
    share = face_share(LANDMARKS, FRONTAL, LENS, 64)
    shown = Calm(rest, share)(head)
    assert np.allclose(shown[share[..., 0] > 0.999], head[share[..., 0] > 0.999], atol=2e-3)
    assert np.array_equal(shown[share[..., 0] == 0], rest[share[..., 0] == 0])


@pytest.mark.parametrize("calm", [True, False])
def test_a_still_view_does_not_shimmer_beside_the_face(tmp_path: Path, calm: bool):
    save_track(tmp_path / "a.track", moving(12))
    settings = DriveSettings(size=64, view="still", background="transparent", self_check=False)
    settings = replace(settings, views=ViewSettings(calm=calm), provenance=replace(settings.provenance, mark=False))
    drive(write_tiny_avatar(tmp_path / "a.avatar"), tmp_path / "a.track", tmp_path / "out", settings, Silent())
    pictures = np.stack([read_image(path) for path in sorted((tmp_path / "out" / "frames").glob("*.png"))]).astype(int)
    corner, middle = pictures[:, :6, :6], pictures[:, 24:40, 24:40]
    assert np.ptp(middle, axis=0).max() > 2
    assert (np.ptp(corner, axis=0).max() == 0) == calm
