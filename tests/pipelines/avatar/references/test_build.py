"""The bank of an avatar, made from a capture, and the pictures made of it."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.avatar_record import add_files, load_avatar_record
from pipelines.artifacts.dataset import camera_of
from pipelines.avatar.portrait import Portrait
from pipelines.avatar.references import build
from pipelines.avatar.references.bank import FOLDER, load_bank, name_of
from pipelines.avatar.references.distance import Faces
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_image
from pipelines.core.stage import Silent
from pipelines.evaluate import render_rows
from pipelines.face.expression import MEASURED
from tests.tiny import write_tiny_avatar
from tests.worlds import quick_view, write_solid_capture


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    return write_tiny_avatar(tmp_path / "a.avatar")


def test_the_bank_holds_training_frames_alone_and_the_record_says_so(tmp_path: Path, avatar: Path) -> None:
    dataset = quick_view(write_solid_capture(tmp_path / "a.capture"))
    names, count = build.build_references(dataset, load_avatar(avatar), Silent())
    add_files(avatar, names, filmed_frames=count)
    bank = load_bank(avatar)
    assert bank is not None and len(bank) == count == len(dataset.rows("train"))
    assert not np.isin(bank.source_index, dataset.source_index[dataset.rows("test")]).any()
    assert load_avatar_record(avatar).filmed_frames == count
    film = read_image(avatar / FOLDER / name_of(bank.source_index[0]))
    assert film.shape == (512, 512, 4) and bank.renders.shape[1:] == (*[load_avatar(avatar).image_size] * 2, 4)
    (avatar / FOLDER / name_of(bank.source_index[0])).unlink()
    with pytest.raises(UnusableMaterial, match="is missing"):
        load_avatar(avatar)


def test_pictures_are_made_of_the_filmed_frames_unless_they_are_left_out(tmp_path: Path, avatar: Path) -> None:
    dataset = quick_view(write_solid_capture(tmp_path / "a.capture"))
    plain = load_avatar(avatar)
    rows, expression = dataset.rows("test")[:2], dataset.expression(plain.space)
    before = render_rows(plain, dataset, rows, expression)
    assert Portrait(plain).choices(Faces.of(expression[rows], dataset.world_from_camera[rows])) is None
    build.build_references(dataset, plain, Silent())
    portrait = Portrait(load_avatar(avatar))
    choices = portrait.choices(Faces.of(expression[rows], dataset.world_from_camera[rows]))
    assert choices is not None
    scene, camera = portrait.scene(expression[rows]), camera_of(dataset, rows)
    layers = portrait.render(scene, camera, size=128, choices=choices)
    assert layers.references is not None and layers.references.shape == layers.generator.shape == (2, 128, 128, 4)
    assert Portrait(load_avatar(avatar), references=False).chooser is None
    assert np.abs(render_rows(load_avatar(avatar), dataset, rows, expression) - before).max() > 1 / 255


def test_a_bank_too_large_is_made_of_smaller_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = quick_view(write_solid_capture(tmp_path / "a.capture"))
    monkeypatch.setattr(build, "sides_of", lambda px: [64, 32])
    monkeypatch.setattr(build, "MOST_BYTES", 1)
    names = build.write_films(dataset, dataset.rows("train")[:2], tmp_path / "bank")
    assert read_image(tmp_path / "bank" / names[0]).shape == (32, 32, 4)


def test_films_are_kept_at_about_the_resolution_of_the_film() -> None:
    assert build.sides_of(200) == [512] and build.sides_of(700) == [768, 512] and build.sides_of(2000) == [1024, 768, 512]


def test_the_frames_that_differ_most_are_kept() -> None:
    cameras = np.tile(np.eye(4), (6, 1, 1))
    cameras[:, 2, 3] = -2.7
    expression = np.zeros((6, len(MEASURED)), np.float32)
    expression[4, MEASURED.index("eyeBlinkLeft")] = 1.0
    apart = build.pairwise(Faces.of(expression, cameras), MEASURED)
    assert apart[0, 1] == 0 and apart[0, 4] > 1
    assert build.farthest(apart, 2)[1] == 4
