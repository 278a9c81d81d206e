"""The shipped prior and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from models.eg3d.family import SHIPPED
from pipelines.artifacts.family import config_of
from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.files import read_json, write_json
from pipelines.face.canonical import canonical_landmarks
from tests.worlds import write_unit_prior


def test_the_shipped_prior_has_the_quick_configuration() -> None:
    prior = load_prior("quick")
    assert config_of(prior) == SHIPPED
    assert prior.landmarks.shape == (478, 3)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(SettingError, match="shipped priors: quick"):
        load_prior("nobody")


def test_broken_priors_are_refused(tmp_path: Path) -> None:
    record = read_json(write_unit_prior(tmp_path) / "prior.json")
    write_json(tmp_path / "prior.json", record | {"config": {"z_dmi": 8}})
    with pytest.raises(UnusableMaterial, match="z_dmi"):
        config_of(load_prior(str(tmp_path)))
    write_json(tmp_path / "prior.json", record | {"schema": 99})
    with pytest.raises(UnusableMaterial, match="schema 99"):
        load_prior(str(tmp_path))
    (tmp_path / "weights.safetensors").write_bytes(b"other bytes")
    write_json(tmp_path / "prior.json", record | {"weights_sha256": "0" * 64})
    with pytest.raises(UnusableMaterial, match="sha256"):
        load_prior(str(tmp_path))


def test_random_weights_start_from_the_canonical_head(tmp_path: Path) -> None:
    record = {"schema": 1, "name": "mine", "family": "eg3d", "config": {}, "meters_per_unit": 0.32, "crop_extent": 0.85,
              "license": "MIT", "origin": "random weights"}  # fmt: skip
    write_json(tmp_path / "prior.json", record)
    prior = load_prior(str(tmp_path))
    assert prior.weights is None and np.allclose(prior.landmarks * 0.32, canonical_landmarks(), atol=1e-6)
    write_json(tmp_path / "prior.json", record | {"weights_sha256": "0" * 64})
    with pytest.raises(UnusableMaterial, match="landmarks"):
        load_prior(str(tmp_path))
