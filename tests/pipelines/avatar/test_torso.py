"""The layer behind the head."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.artifacts.avatar_record import TORSO, hashed, load_avatar_record, save_avatar_record
from pipelines.artifacts.prior import load_prior
from pipelines.avatar.torso import (
    ANCHORS,
    SLACK,
    build_torso,
    cut_torso,
    follow,
    load_torso,
    neck_moves,
    placement,
    zoomed,
)
from pipelines.core.files import read_image, write_image, write_json
from pipelines.geometry.rigid import project
from pipelines.train.recipe import add_torso
from pipelines.train.record import frame_of
from tests.folders import write_avatar
from tests.worlds import write_solid_capture

FRONTAL = np.diag([1.0, -1.0, -1.0, 1.0])
FRONTAL[2, 3] = 2.7
LENS = np.array([[3.0, 0, 0.5], [0, 3.0, 0.5], [0, 0, 1]])


def person(size: int = 128) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crop, person and head mattes: a red head on a green neck that fades out over gray shoulders."""
    y, x = np.mgrid[0:size, 0:size] / size
    skull, neck, body = (x - 0.5) ** 2 + (y - 0.35) ** 2 < 0.04, (abs(x - 0.5) < 0.1) & (y > 0.5), y > 0.75
    crop = np.full((size, size, 3), 255, np.uint8)
    crop[body], crop[neck], crop[skull] = (90, 90, 90), (0, 160, 0), (200, 0, 0)
    matte = ((skull | neck | body) * 255).astype(np.uint8)
    return crop, matte, np.round(matte * np.clip((0.75 - y) / 0.1, 0, 1)).astype(np.uint8)


def test_head_and_torso_together_cover_the_person():
    crop, matte, head = person()
    layer = cut_torso(crop, matte, head, len(crop))
    covered = 1 - (1 - head / 255.0) * (1 - layer[..., 3] / 255.0)
    assert covered[matte > 0].min() > 0.95
    assert layer[:60, :, 3].max() == 0, "nothing of the skull is left behind"
    assert (layer[110:, :, 3] == 255).all()


def test_the_strip_behind_the_neck_has_the_necks_color_not_the_chins():
    crop, matte, head = person()
    crop[70:84, 52:76] = (200, 0, 0)  # a beard down to where the neck begins to fade
    layer = cut_torso(crop, matte, head, len(crop))
    strip = layer[80:84, 60:68].reshape(-1, 4)
    assert strip[:, 3].max() > 60 and strip[strip[:, 3] > 60, 1].min() > 100


def test_placement_undoes_a_change_of_camera():
    assert placement(FRONTAL, LENS, FRONTAL, LENS) == pytest.approx(np.array([[1, 0, 0], [0, 1, 0.0]]))
    near = FRONTAL.copy()
    near[:3, 3] = (0.1, 0.0, 2.0)
    place = placement(near, LENS, FRONTAL, LENS)
    neck = np.array([[0.0, -0.4, -0.05]])
    moved = place[:, :2] @ project(near, LENS, neck)[0, :2] + place[:, 2]
    assert moved == pytest.approx(project(FRONTAL, LENS, neck)[0, :2], abs=0.01)


def avatar_with_layer(folder: Path, layer: np.ndarray) -> Path:
    write_image(folder / "torso.png", layer)
    write_json(folder / "torso.json", {"schema": 1, "frontal_from_torso": [[1, 0, 0], [0, 1, 0]]})
    return folder


def test_a_still_layer_lies_where_it_was_cut_out(tmp_path: Path):
    layer = cut_torso(*person(128), 128)
    torso = load_torso(avatar_with_layer(tmp_path, layer), FRONTAL, LENS, 128)
    assert torso is not None
    placed = torso.placed(np.zeros(3))
    assert np.abs(placed[..., 3] * 255 - layer[..., 3]).max() < 1
    moved = torso.placed(np.array([8 / 128, 0.0, 0.0]))
    assert np.abs(moved[:, 8:] - placed[:, :-8]).max() < 1e-3
    assert (moved[120, :8, 3] > 0.99).all(), "the border goes on where the layer ends"
    assert load_torso(tmp_path / "none", FRONTAL, LENS, 128) is None


def test_following_is_calmer_than_the_head_and_limited():
    frames = np.arange(300) / 30
    cameras = np.tile(FRONTAL, (300, 1, 1))
    cameras[:, 0, 3] = -0.03 * np.sin(2 * np.pi * 2 * frames) - 0.1 * (frames > 5)
    moves = follow(FRONTAL, LENS, cameras, 30.0)
    assert np.ptp(moves[30:100, 0]) < 0.1 * np.ptp(3.0 / 2.75 * cameras[30:100, 0, 3])
    assert 0.05 < moves[-1, 0] <= 0.08 and np.abs(moves[-1, 1:]).max() < 1e-6


def test_the_necks_of_head_and_layer_stay_together_however_fast_the_head_moves():
    cameras = np.tile(FRONTAL, (90, 1, 1))
    cameras[45:, 0, 3] = -0.2
    apart = np.abs(neck_moves(FRONTAL, LENS, cameras) - follow(FRONTAL, LENS, cameras, 30.0)).max(1)
    assert apart[0] < 0.01 and apart.max() == pytest.approx(SLACK)


def test_it_is_built_from_a_frontal_training_frame(tmp_path: Path):
    capture = write_solid_capture(tmp_path / "solid.capture", frames=40)
    label = tuple(np.concatenate([FRONTAL.ravel(), LENS.ravel()]).tolist())
    avatar = write_avatar(tmp_path / "a.avatar")
    frame = frame_of(load_prior("quick").frame)
    save_avatar_record(avatar, replace(load_avatar_record(avatar), frontal_camera=label, crop_extent=0.85, frame=frame))
    record = build_torso(capture, tmp_path / "a.avatar")
    add_torso(SimpleNamespace(captures=(capture,), folder=avatar, settings=SimpleNamespace(torso="still")))  # type: ignore[arg-type]
    known = load_avatar_record(avatar).weights
    assert {name: known[name] for name in TORSO} == hashed(avatar, TORSO)
    assert read_image(tmp_path / "a.avatar" / "torso.png").shape[2] == 4
    assert load_torso(tmp_path / "a.avatar", FRONTAL, LENS, 64) is not None
    yaw = 0.35 * np.sin(2 * np.pi * int(str(record["source_index"])) / 3 / 40)
    assert abs(yaw) < 0.2 and int(str(record["source_index"])) / 3 < 34


def test_an_enlarged_picture_enlarges_the_layer_around_the_same_middle():
    """What was drawn at x is drawn at zoom (x - 1/2) + 1/2."""
    moves, anchor = np.array([[0.02, -0.01, 0.1]]), project(FRONTAL, LENS, ANCHORS[:1])[0, :2]
    found = zoomed(moves, np.array([1.5]), FRONTAL, LENS)[0]
    for x in (np.array([0.2, 0.9]), np.array([0.6, 0.7])):
        before = np.exp(0.1) * (x - anchor) + anchor + moves[0, :2]
        after = np.exp(found[2]) * (x - anchor) + anchor + found[:2]
        assert after == pytest.approx(1.5 * (before - 0.5) + 0.5)
    assert zoomed(moves, np.ones(1), FRONTAL, LENS) == pytest.approx(moves)
