"""What stands still in a still view."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from pipelines.artifacts.avatar import Avatar
from pipelines.artifacts.prior import load_prior
from pipelines.avatar.still_layer import face_in, face_share, still_around
from pipelines.core.files import read_image
from pipelines.core.stage import Silent
from pipelines.drive import DriveSettings, ViewSettings, drive
from pipelines.drive.render.painter import jaw_opened
from pipelines.face.track import save_track
from pipelines.geometry.rigid import project
from tests.pipelines.drive.takes import moving
from tests.tiny import write_tiny_avatar

FRONTAL = np.diag([1.0, -1.0, -1.0, 1.0])
FRONTAL[2, 3] = 2.7
LENS = np.array([[1.6, 0, 0.5], [0, 1.6, 0.5], [0, 0, 1]])
LANDMARKS = load_prior("quick").landmarks.astype(np.float64)
FACE = project(FRONTAL, LENS, LANDMARKS)[:, :2]


def at(share: np.ndarray, point: np.ndarray) -> float:
    x, y = project(FRONTAL, LENS, point[None])[0, :2] * len(share)
    return float(share[int(y), int(x), 0])


def test_the_whole_face_moves_with_room_for_the_jaw_and_nothing_else():
    share = face_share(FACE, 256)
    assert min(at(share, point) for point in LANDMARKS) > 0.9
    height, chin = np.ptp(LANDMARKS[:, 1]), LANDMARKS[152]
    assert at(share, chin - (0, 0.2 * height, 0)) > 0.9 and at(share, chin - (0, 0.6 * height, 0)) == 0
    assert at(share, LANDMARKS[10] + (0, 0.45 * height, 0)) == 0, "hair"
    assert share[0].max() == share[:, 0].max() == 0 and np.abs(np.diff(share[..., 0], axis=1)).max() < 0.2


def test_inside_the_face_nothing_changes():
    random = np.random.default_rng(0)
    head, rest = random.random((64, 64, 4), np.float32), random.random((64, 64, 4), np.float32)
    share = face_share(FACE, 64)
    shown = still_around(rest, FACE)(head, 1.0)
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


def test_the_jaw_has_the_room_that_it_opens_by():
    wide, narrow = (face_share(FACE, 256, jaw) for jaw in (1.0, 0.3))
    height, chin = np.ptp(LANDMARKS[:, 1]), LANDMARKS[152]
    assert at(wide, chin - (0, 0.18 * height, 0)) > 0.9 and at(narrow, chin - (0, 0.18 * height, 0)) < 0.1
    assert (narrow <= wide + 1e-6).all() and min(at(narrow, point) for point in LANDMARKS) > 0.9
    head, rest = np.ones((256, 256, 4), np.float32), np.zeros((256, 256, 4), np.float32)
    calm, below = still_around(rest, FACE), chin - (0, 0.14 * height, 0)
    moved = [calm(head, jaw) for jaw in (0.0, 0.45, 0.5, 0.55, 1.0)]
    assert [at(one, below) > 0.5 for one in (moved[0], moved[-1])] == [False, True]
    assert np.allclose(moved[2], face_share(FACE, 256, 0.5), atol=0.01), "a level"
    assert all((one <= other + 1e-6).all() for one, other in zip(moved[:-1], moved[1:], strict=True))
    avatar = cast(Avatar, SimpleNamespace(names=("jawLeft", "jawOpen"), neutral=np.array([0.0, 0.1])))
    assert [jaw_opened(avatar, np.array([1.0, jaw])) for jaw in (0.0, 0.1, 0.5, 2.0)] == pytest.approx([0.1, 0.1, 0.7, 1.0])


@pytest.mark.parametrize(("there", "shift", "taken"), [(False, 0.0, False), (True, 0.03, True), (True, 0.2, False)])
def test_the_face_is_where_the_tracker_sees_it_unless_that_is_elsewhere(
    monkeypatch: pytest.MonkeyPatch, there: bool, shift: float, taken: bool
):
    class Seeing:
        def __init__(self, video: bool) -> None: ...
        def __enter__(self) -> "Seeing":
            return self

        def __exit__(self, *error: object) -> None: ...
        def track(self, image: np.ndarray) -> SimpleNamespace | None:
            assert image.shape == (64, 64, 3) and image.dtype == np.uint8 and image[0, 0, 0] == 128, "over gray"
            return SimpleNamespace(points=64 * np.column_stack([FACE + shift, np.zeros(len(FACE))])) if there else None

    monkeypatch.setattr("pipelines.avatar.still_layer.FaceTracker", Seeing)
    found = face_in(np.zeros((64, 64, 4), np.float32), FACE)
    assert np.allclose(found, FACE + shift if taken else FACE)
