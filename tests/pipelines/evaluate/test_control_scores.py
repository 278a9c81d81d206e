import numpy as np
import pytest

from pipelines.evaluate.control_scores import (
    control_errors,
    disentanglement,
    identity_similarity,
    mean_squared,
    spread,
    spreads,
)
from tests.material import shared

FACTORS: tuple[str, ...] = ("beta", "R", "gamma")


def test_scores_of_disentanglement_are_the_reference_ones() -> None:
    with np.load(shared("goldens/3dfaceshop/15_ds_metric_own.npz")) as arrays:
        reference = {name: arrays[f"ref_{name}"] for name in FACTORS}
        measured = {varied: {name: arrays[f"vary_{varied}_est_{name}"] for name in FACTORS} for varied in FACTORS}
        ours = spreads(measured, reference)
        for varied in FACTORS:
            for name in FACTORS:
                assert ours[varied][name] == pytest.approx(float(arrays[f"sigma_{varied}_{name}"]), rel=1e-5)
            assert disentanglement(ours)[varied] == pytest.approx(float(arrays[f"DS_{varied}"]), rel=1e-5)


def test_one_score_for_a_generator_that_mixes_everything() -> None:
    even = {varied: dict.fromkeys(FACTORS, 0.4) for varied in FACTORS}
    assert disentanglement(even) == dict.fromkeys(FACTORS, 1.0)
    assert disentanglement({"light": {"light": 0.9, "pose": 0.3, "expression": 0.1}})["light"] == pytest.approx(27)


def test_spread_is_over_the_references() -> None:
    random = np.random.default_rng(0)
    reference = random.normal(size=(4000, 5)) * [1, 2, 3, 4, 5]
    groups = random.normal(size=(400, 10, 5)) * [1, 2, 3, 4, 5] + 100 * random.normal(size=(400, 1, 5))
    assert spread(groups, reference) == pytest.approx(0.9, abs=0.03), "9 of 10 parts of a variance remain in groups of ten"
    assert spread(np.ones((3, 10, 5)), reference) == 0


def test_an_oracle_measures_what_was_asked() -> None:
    random = np.random.default_rng(0)
    asked = {name: random.normal(size=(6, size)) for name, size in (("expression", 53), ("pose", 3), ("light", 27))}
    exact = control_errors(asked, asked)
    assert (exact.aed, exact.apd, exact.aid) == (0, 0, 0)
    off = control_errors(asked, asked | {"pose": asked["pose"] + [0.1, 0, 0]})
    assert off.apd == pytest.approx(0.01 / 3) and off.aed == off.aid == 0
    assert mean_squared(np.array([[0, 1]]), np.array([[0, 3]])) == 2
    with pytest.raises(ValueError, match="measured"):
        mean_squared(np.zeros((2, 3)), np.zeros((2, 4)))


def test_similarity_is_a_cosine() -> None:
    first = np.array([[1.0, 0.0], [0.0, 2.0]])
    assert identity_similarity(first, 3 * first) == pytest.approx(1)
    assert identity_similarity(first, first[:, ::-1]) == pytest.approx(0)
