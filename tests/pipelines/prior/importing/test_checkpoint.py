"""States of torch.save: 3DFaceShop's networks are published so."""

import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models.faceshop.config import FaceShopConfig
from models.faceshop.family import FAMILY
from models.faceshop.generator import FaceShop
from models.faceshop.importer import config_of as read
from models.published import PublishedNetwork
from pipelines.artifacts.family import config_of
from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import UnusableMaterial
from pipelines.core.stage import Silent
from pipelines.prior.importing.networks import ImportSettings, import_prior

SMALL = FaceShopConfig(
    w_dim=16, mapping_layers=3, channel_base=256, channel_max=16, plane_resolution=32, plane_channels=4, decoder_hidden=8,
    decoder_features=6, classes=7, image_size=64, neural_rendering_resolution=16, superresolution_channels=(8, 4),
)  # fmt: skip


@pytest.fixture
def network() -> FaceShop:
    torch.manual_seed(0)
    return FaceShop(SMALL)


def imported(path: Path, tmp_path: Path) -> Path:
    return import_prior(path, tmp_path / "x.prior", ImportSettings(), Silent()).out


def test_a_state_becomes_a_prior_of_its_family(network: FaceShop, tmp_path: Path) -> None:
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, tmp_path / "generator.pth")
    report = import_prior(tmp_path / "generator.pth", tmp_path / "x.prior", ImportSettings(), Silent())
    prior = load_prior(str(report.out))
    assert prior.family == "faceshop" and config_of(prior) == SMALL and prior.meters_per_unit == 1.0
    assert prior.extra["frontal_camera"]["distance"] == 1.0 and prior.crop_extent == FAMILY.frame.crop_extent
    other = FaceShop(config_of(prior))
    assert prior.weights is not None
    other.load_state_dict(load_file(prior.weights), strict=True)
    assert all(torch.equal(one, other.state_dict()[name]) for name, one in network.state_dict().items())


def test_the_published_size_is_known_by_its_shapes() -> None:
    with torch.device("meta"):
        state = FaceShop(FaceShopConfig()).state_dict()
    shapes: Any = {name: torch.empty(0).expand(*value.shape) if 0 in value.shape else value for name, value in state.items()}
    assert asdict(read(PublishedNetwork(generator=None, state=shapes))) == asdict(FaceShopConfig())  # pyright: ignore


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder.mapping.fc0.weight": torch.zeros(16, 40)}, "codes of 24 numbers"),
        ({"decoder.extra": torch.zeros(2)}, "decoder.extra is unknown"),
        ({"step": 3}, "holds no state"),
        ({"sr.block1.torgb.bias": torch.full((3,), float("nan"))}, "not finite"),
    ],
)
def test_a_state_that_is_not_ours_is_refused(network: FaceShop, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    torch.save(dict(network.state_dict()) | change, tmp_path / "generator.pth")
    with pytest.raises(UnusableMaterial, match=message):
        imported(tmp_path / "generator.pth", tmp_path)
    assert not (tmp_path / "x.prior").exists()


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (Path("trapped.txt"), "ran"))


def test_nothing_in_a_checkpoint_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"encoder.mapping.embed.weight": Trap()}, tmp_path / "generator.pth")
    with pytest.raises(UnusableMaterial, match="no state that torch.save wrote"):
        imported(tmp_path / "generator.pth", tmp_path)
    assert not (tmp_path / "trapped.txt").exists()


def test_other_archives_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pkl", "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(UnusableMaterial, match="no state that torch.save wrote"):
        imported(tmp_path / "x.pkl", tmp_path)


def test_a_wider_backbone_has_its_own_base() -> None:
    for changes in ({"channel_base": 128}, {"channel_max": 8, "plane_resolution": 64}):
        config = replace(SMALL, **changes)
        state: Any = FaceShop(config).state_dict()
        assert read(PublishedNetwork(generator=None, state=state)) == config  # pyright: ignore[reportArgumentType]
