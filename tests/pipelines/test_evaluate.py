"""The frozen evaluation: its figures on images whose answer is known."""

import numpy as np
import pytest

from pipelines.evaluate import Pictures, Poses, baselines, oracle, psnr, retrieve, score, sharpness, ssim


@pytest.fixture
def world() -> tuple[Pictures, Poses, np.ndarray, Poses]:
    random = np.random.default_rng(0)
    train = random.random((6, 32, 32, 3), dtype=np.float32)
    matte = np.zeros((3, 32, 32), np.float32)
    matte[:, 8:24, 8:24] = 1
    inside = np.ones((3, 32, 32), bool)
    inside[:, :, :4] = False
    noise = random.normal(0, 0.1, (3, 32, 32, 3)).astype(np.float32)
    truth = Pictures(image=train[[4, 1, 2]] + noise, matte=matte, inside=inside)
    rotation = np.tile(np.eye(3), (6, 1, 1))
    expression = random.normal(size=(6, 5))
    poses = Poses(expression=expression, rotation=rotation, position_px=np.zeros((6, 2)))
    query = Poses(expression=expression[[4, 1, 2]] + 0.01, rotation=rotation[:3], position_px=np.zeros((3, 2)))
    return truth, query, train, poses


def test_psnr_of_a_tenth_is_twenty() -> None:
    zero = np.zeros((8, 8, 3))
    assert psnr(zero, zero + 0.1, np.ones((8, 8))) == pytest.approx(20.0)
    assert psnr(zero, zero, np.ones((8, 8))) == 60.0


def test_pixels_outside_the_frame_count_nowhere(world) -> None:
    truth, *_ = world
    renders = truth.image.copy()
    renders[:, :, :4] += 0.5
    figures = score(renders, truth)
    assert figures["psnr_full"] == 60.0 and figures["psnr_head"] == 60.0
    assert figures["sharpness_head"] == pytest.approx(1.0)


def test_head_figure_looks_only_at_the_head(world) -> None:
    truth, *_ = world
    renders = truth.image.copy()
    renders[:, 28:] += 0.2
    figures = score(renders, truth)
    assert figures["psnr_head"] == 60.0 and figures["psnr_full"] < 25


def test_the_retrieved_frame_as_render_scores_as_the_baseline(world) -> None:
    truth, query, train, poses = world
    rows = retrieve(query, poses)
    assert rows.tolist() == [4, 1, 2]
    assert score(train[rows], truth) == baselines(truth, query, train, poses)["retrieval"]


def test_oracle_is_the_least_error_and_never_below_retrieval(world) -> None:
    truth, query, train, poses = world
    assert oracle(truth, train).tolist() == [4, 1, 2]
    found = baselines(truth, query, train, poses)
    assert found["oracle"]["psnr_full"] >= found["retrieval"]["psnr_full"] > found["mean"]["psnr_full"]


def test_retrieval_weighs_pose_and_position() -> None:
    turned = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    train = Poses(expression=np.array([[0.0], [1.0]]), rotation=np.stack([turned, np.eye(3)]), position_px=np.zeros((2, 2)))
    query = Poses(expression=np.array([[0.0]]), rotation=np.eye(3)[None], position_px=np.zeros((1, 2)))
    assert retrieve(query, train).tolist() == [1]
    moved = Poses(expression=train.expression, rotation=np.stack([np.eye(3)] * 2), position_px=np.array([[40.0, 0], [0, 0]]))
    assert retrieve(query, moved).tolist() == [1]


def test_ssim_and_sharpness() -> None:
    image = np.random.default_rng(1).random((40, 40, 3))
    assert ssim(image, image) == pytest.approx(1.0)
    assert ssim(image, 1 - image).mean() < 0
    flat = np.full((40, 40, 3), 0.5)
    assert sharpness(flat, np.ones((40, 40))) == 0.0
