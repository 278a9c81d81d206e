"""Shards as batches of states seen by several cameras."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.prior.train.truth import (
    CHEST,
    GAZE,
    Truth,
    describe,
    detail_of,
    label_names,
    labels_of,
    shrunk_depth,
)
from tests.worlds_shards import EXPRESSIONS, write_solid_shards


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    return write_solid_shards(tmp_path / "shards", shards=4)


def test_a_state_has_one_label_and_all_its_views(shards: Path) -> None:
    truth = Truth(folder=shards, kept=4)
    truth.load(0)
    assert len(truth.states) == 4 * 2 * 2
    for rows in truth.states:
        assert len(rows) == 3
        assert len(np.unique(truth.rows["person"][rows])) == len(np.unique(truth.rows["state"][rows])) == 1
        assert np.ptp(truth.rows["label"][rows], axis=0).max() == 0
    assert sorted(np.unique(truth.rows["person"])) == list(range(8)), "people are numbered over all shards"
    views = truth.draw(5, 2, torch.Generator().manual_seed(0))
    assert views.image.shape == (10, 3, 32, 32) and views.labels.shape == (5, 7) and len(views.camera) == 10
    assert (views.camera.world_from_camera[0::2] - views.camera.world_from_camera[1::2]).abs().amax((1, 2)).min() > 0.1


def test_faces_that_do_something_come_more_often(shards: Path) -> None:
    truth = Truth(folder=shards, kept=4)
    truth.load(0)
    random = torch.Generator().manual_seed(0)
    open_mouths = sum(float(truth.draw(4, 1, random).labels[:, 0].sum()) for _ in range(50)) / 200
    assert open_mouths > 0.65, "half of the states are neutral"


def test_a_state_with_fewer_views_than_asked_repeats_them(shards: Path) -> None:
    truth = Truth(folder=shards, kept=1)
    truth.load(0)
    views = truth.draw(1, 5, torch.Generator().manual_seed(0))
    assert len(torch.unique(views.camera.world_from_camera[:, 0, 3])) == 3


def test_every_shard_comes_before_any_comes_again(shards: Path) -> None:
    truth, seen = Truth(folder=shards, kept=1, seed=5), []
    for turn in range(8):
        truth.load(turn)
        seen.append(int(truth.rows["person"].min()) // 2)
    assert sorted(seen[:4]) == sorted(seen[4:]) == [0, 1, 2, 3]
    again = Truth(folder=shards, kept=1, seed=5)
    again.load(6)
    assert int(again.rows["person"].min()) // 2 == seen[6], "a resumed run finds the same shards"


def test_all_shards_stay_where_they_fit(shards: Path) -> None:
    truth = Truth(folder=shards, kept=10)
    truth.load(0)
    rows = truth.rows
    truth.load(3)
    assert truth.rows is rows


def test_labels_are_weights_gaze_and_posture() -> None:
    turned = np.tile(np.eye(4), (1, 7, 1, 1))
    turned[0, 0, :3, :3] = [[0, 0, 1], [0, 1, 0], [-1, 0, 0]]  # 90 degrees around y
    shard = {"expression": np.array([[0.5, 0.25]]), "gaze": np.array([[10.0, -5.0]]), "joints": turned}
    assert np.allclose(labels_of(shard), [[0.5, 0.25, 0.5, -0.25, 0, 6, 0]], atol=1e-6)
    assert label_names(EXPRESSIONS) == (*EXPRESSIONS, *GAZE, *CHEST)


def test_what_is_known_of_people(shards: Path) -> None:
    known = describe(Truth(folder=shards, kept=1))
    assert known.values.shape == (8, len(known.names))
    of = dict(zip(known.names, known.values.T, strict=True))
    assert of["identity000"].tolist() == list(range(8))
    assert of["hair=brown"].tolist() == [1, 0] * 4 and of["hair=black"].tolist() == [0, 1] * 4
    assert "cloth_r" not in of and np.isfinite(of["skin_r"]).all(), "nobody wears anything"
    assert of["skin_b"][0] > of["skin_b"][5], "the sixth person is tinted"


def test_depth_is_averaged_over_what_is_hit() -> None:
    depth = torch.tensor([[2.0, 0.0], [4.0, 0.0]])[None, None]
    assert shrunk_depth(depth, 1).item() == 3.0
    assert shrunk_depth(torch.zeros(1, 1, 2, 2), 1).item() == 0.0


def test_eyes_count_more_than_hair() -> None:
    from pipelines.prior.people.parts import HAIR_PART, LEFT_EYE

    assert detail_of(np.array([LEFT_EYE]))[0] > 1 and detail_of(np.array([HAIR_PART]))[0] == 0


def test_the_places_of_eyes_count_in_views_of_the_face_alone(shards: Path) -> None:
    truth = Truth(folder=shards, kept=1)
    truth.load(0)
    rows = np.arange(len(truth.rows["person"]))
    truth.rows["part"] = np.zeros_like(truth.rows["part"])  # nothing is seen there, as with closed lids
    turn = np.diag([-1.0, 1.0, -1.0, 1.0])  # around the head
    truth.rows["camera"][::2, :16] = (turn @ truth.rows["camera"][::2, :16].reshape(-1, 4, 4)).reshape(-1, 16)
    views = truth.views(rows, rows[:1])
    axis = views.camera.world_from_camera[:, 2, 2]
    most = views.detail.flatten(1).amax(1)
    assert (axis < -0.5).any() and (axis > 0).any()
    assert (most[axis < -0.5] > 4).all() and not most[axis > 0].any()
