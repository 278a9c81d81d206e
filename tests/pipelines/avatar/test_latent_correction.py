"""Latents corrected until they show what was asked."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.generator import LatentSpec
from models.heads.expression_map import ExpressionMap
from pipelines.artifacts.avatar import load_avatar
from pipelines.avatar.latent_correction import (
    CORRECTION_STRENGTH,
    REACH,
    CorrectedMap,
    coordinates,
    correct,
    corrected,
    linear,
)
from pipelines.core.files import write_arrays
from pipelines.drive.settings import RetargetSettings
from pipelines.face.expression import MEASURED
from tests.tiny import write_tiny_avatar

DIMENSIONS, WIDTH = 6, 8
JAW, PUCKER = MEASURED.index("jawOpen"), MEASURED.index("mouthPucker")


def unsure_map(spread: float = 1.0) -> ExpressionMap:
    """A map that answers everything with the mean."""
    width = len(MEASURED)
    plain = ExpressionMap(
        mean=torch.zeros(width), std=torch.ones(width), mean_w=torch.arange(WIDTH).float(), hidden=4,
        basis=spread * torch.eye(WIDTH)[:DIMENSIONS], latent=LatentSpec(z_dim=4, w_dim=WIDTH, num_ws=3),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in plain.net[-1].parameters():
            parameter.zero_()
    return plain.eval()


def world(plain: ExpressionMap, noise: float = 0.01) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """w [P,WIDTH], what the tracker reads off their renders [P,E], and the response G [E,K]."""
    random = np.random.default_rng(0)
    x, response = random.normal(size=(400, DIMENSIONS)), random.normal(size=(len(MEASURED), DIMENSIONS))
    w = plain.mean_w.numpy() + x @ plain.basis.numpy()
    expression = 0.3 + x @ response.T + noise * random.normal(size=(400, len(MEASURED)))
    return w.astype(np.float32), expression.astype(np.float32), response


def test_least_squares_find_the_response():
    random = np.random.default_rng(1)
    x, response = random.normal(size=(5000, 2)), np.array([[2.0, 0.0], [1.0, -1.0], [0.0, 0.5]])
    center, found, left = linear(x, x @ response.T + (1.0, 2.0, 3.0))
    assert np.allclose(found, response, atol=0.01) and np.allclose(center, (1, 2, 3), atol=0.01)
    assert np.abs(left).max() < 0.02


def test_the_coordinates_of_a_latent_give_it_back():
    plain = unsure_map(spread=0.2)
    x = torch.randn(5, DIMENSIONS)
    assert torch.allclose(coordinates(plain.mean_w + x @ plain.basis, plain), x, atol=1e-5)


def test_an_unsure_map_is_brought_to_what_was_asked():
    plain = unsure_map(spread=0.2)
    w, expression, response = world(plain)
    found = correct(plain, w, expression, MEASURED, 1.0)
    asked = torch.from_numpy(expression[:50])
    x = coordinates(found.w(asked), plain).detach().numpy()
    assert np.abs(0.3 + x @ response.T - expression[:50]).max() < 0.4 < np.abs(expression[:50] - 0.3).max()
    assert found(asked).shape == (50, 3, WIDTH)


def test_half_the_strength_goes_half_the_way():
    plain = unsure_map()
    w, expression, _ = world(plain)
    asked = torch.from_numpy(0.3 + 0.3 * (expression[:20] - 0.3))
    whole, half = (coordinates(correct(plain, w, expression, MEASURED, strength).w(asked), plain) for strength in (1.0, 0.5))
    assert torch.allclose(half, whole / 2, atol=1e-4)


def test_one_coordinate_with_as_much_doubt_as_spread_makes_up_for_half():
    plain = unsure_map()
    random = np.random.default_rng(2)
    x = random.normal(size=(20000, DIMENSIONS))
    expression = random.normal(size=(20000, len(MEASURED)))
    expression[:, PUCKER] += x[:, 0]
    found = correct(plain, (plain.mean_w.numpy() + x @ plain.basis.numpy()), expression, MEASURED, 1.0)
    asked = torch.zeros(1, len(MEASURED))
    asked[0, PUCKER] = 1.0
    assert coordinates(found.w(asked), plain)[0, 0].item() == pytest.approx(0.5, abs=0.03)
    expression[:, JAW] += x[:, 1]
    found = correct(plain, (plain.mean_w.numpy() + x @ plain.basis.numpy()), expression, MEASURED, 1.0)
    asked = torch.zeros(1, len(MEASURED))
    asked[0, JAW] = 1.0
    assert coordinates(found.w(asked), plain)[0, 1].item() == pytest.approx(0.8, abs=0.03), "1 / (1 + 1/4)"


def test_no_coordinate_goes_further_than_was_seen():
    plain = unsure_map()
    w, expression, _ = world(plain)
    far = correct(plain, w, expression, MEASURED, 1.0).w(torch.full((1, len(MEASURED)), 50.0))
    assert coordinates(far, plain).abs().max().item() == pytest.approx(REACH, abs=1e-4)


def test_an_avatar_is_corrected_by_its_pairs_and_only_by_renders(tmp_path: Path):
    avatar = load_avatar(write_tiny_avatar(tmp_path / "a.avatar"))
    assert corrected(avatar, 1.0) is avatar.expression_map, "no pairs"
    random = np.random.default_rng(3)
    pairs = {"w": random.normal(size=(300, avatar.generator.latent.w_dim)).astype(np.float32),
             "expression": random.normal(size=(300, len(MEASURED))).astype(np.float32)}  # fmt: skip
    write_arrays(avatar.folder / "pairs.npz", **pairs, anchor=np.arange(300) >= 50)
    assert corrected(avatar, 1.0) is avatar.expression_map, "too few renders"
    write_arrays(avatar.folder / "pairs.npz", **pairs, anchor=np.zeros(300, bool))
    assert isinstance(corrected(avatar, 1.0), CorrectedMap) and corrected(avatar, 0.0) is avatar.expression_map


def test_evaluation_corrects_as_drive_does() -> None:
    assert RetargetSettings().aim == CORRECTION_STRENGTH


def test_the_persons_own_frames_need_no_correction_in_the_mean() -> None:
    """The tracker reads every channel 0.2 higher off a camera's pictures than off renders."""
    plain, random = unsure_map(), np.random.default_rng(3)
    x = random.normal(size=(400, DIMENSIONS))
    w = x @ plain.basis.numpy() + plain.mean_w.numpy()
    response = random.normal(size=(len(MEASURED), DIMENSIONS))
    read = x @ response.T
    frames = w[:100], read[:100] + 0.2
    with_frames, without = (correct(plain, w, read, MEASURED, 1.0, filmed) for filmed in (frames, None))
    asked, there = torch.from_numpy(frames[1]).float(), torch.from_numpy(x[:100])

    def moved(network: CorrectedMap) -> float:
        return float((coordinates(network.w(asked), plain) - there).mean(0).norm().detach())

    assert moved(with_frames) < 0.3 * moved(without)


def test_a_corrected_latent_is_no_farther_out_than_the_persons_frames():
    plain = unsure_map()
    w, expression, response = world(plain)
    x = np.random.default_rng(3).normal(size=(50, DIMENSIONS)) * 0.4
    filmed = ((plain.mean_w.numpy() + x @ plain.basis.numpy()).astype(np.float32), (0.3 + x @ response.T).astype(np.float32))
    found, free = (correct(plain, w, expression, MEASURED, 1.0, given) for given in (filmed, None))
    rim = np.linalg.norm(x, axis=1).max()
    far, near = torch.from_numpy(0.3 + 3 * (filmed[1] - 0.3)), torch.from_numpy(0.3 + 0.3 * (filmed[1] - 0.3))
    reached = coordinates(found.w(far), plain).norm(dim=1)
    assert reached.max() <= rim * 1.001 < coordinates(free.w(far), plain).norm(dim=1).max()
    assert torch.allclose(found.w(near), free.w(near), atol=0.05)
