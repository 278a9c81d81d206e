"""From shards to a prior folder by exact truth."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.eg3d.config import UNIT
from models.eg3d.family import SHIPPED
from models.eg3d.generator import EG3D
from models.heads.expression_map import broadcast
from pipelines.artifacts.family import config_of
from pipelines.artifacts.prior import load_codes, load_prior
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.stage import Silent
from pipelines.prior.train.autodecoder import AutodecoderSettings, Patches, patch_corners
from pipelines.prior.train.codes import Codes, standardized
from pipelines.prior.train.sampler import fit_mapping, make_sampler
from pipelines.prior.train.supervised import SupervisedSettings, train_supervised
from pipelines.prior.train.truth import Truth
from tests.worlds_shards import write_solid_shards

CONFIG = replace(UNIT, mapping_last="linear", mapping_hidden=32)
FAST = AutodecoderSettings(steps=12, latents=2, views=2, patch=12, checkpoint_every=4, exchange_every=3, shards=1)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_solid_shards(tmp_path_factory.mktemp("truth") / "shards")


def settings(folder: Path, **changes: object) -> SupervisedSettings:
    (folder / "unit.json").write_text(json.dumps(asdict(CONFIG)))
    return SupervisedSettings(config=folder / "unit.json", autodecoder=replace(FAST, **changes))  # pyright: ignore[reportArgumentType]


class Stops(Silent):
    """Interrupts after some steps."""

    def __init__(self, after: int):
        self.left = after

    def advance(self, count: int = 1) -> None:
        self.left -= count
        if self.left < 0:
            raise KeyboardInterrupt


def test_a_prior_that_loads_and_names_its_latents(shards: Path, tmp_path: Path) -> None:
    report = train_supervised(shards, tmp_path / "p", settings(tmp_path), Silent())
    assert report.figures["people"] == 4 and report.figures["steps"] == 12
    prior = load_prior(str(tmp_path / "p"))
    assert prior.weights is not None and prior.license == "Apache-2.0" and "4 synthetic people" in prior.origin
    generator = EG3D(config_of(prior))
    state = load_file(prior.weights)
    assert all(value.dtype == torch.float16 for value in state.values())
    generator.load_state_dict(state, strict=True)
    codes = load_codes(prior)
    assert codes is not None and codes.names[:2] == ("jawOpen", "mouthSmileLeft") and len(codes.directions) == 7
    assert codes.base.shape == (8,) and not codes.directions[:, :6].any(), "faces live in the last dimensions"
    ws = generator.mapping(torch.randn(3, 8))
    assert generator.backbone.mapping.w_avg.abs().sum() > 0 and ws.isfinite().all()


def test_the_solids_are_learned(shards: Path, tmp_path: Path) -> None:
    train_supervised(shards, tmp_path / "p", settings(tmp_path, steps=120, checkpoint_every=20), Silent())
    rows = [json.loads(line) for line in (tmp_path / "p" / "train_log.jsonl").read_text().splitlines()]
    assert rows[-1]["image"] < 0.6 * rows[0]["image"] and rows[-1]["color"] < 0.6 * rows[0]["color"]
    assert rows[-1]["depth"] < rows[0]["depth"]
    assert (tmp_path / "p" / "samples" / "000120.png").exists()


def test_a_killed_training_goes_on_bit_for_bit(shards: Path, tmp_path: Path) -> None:
    asked = settings(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        train_supervised(shards, tmp_path / "killed", asked, Stops(6))
    assert not (tmp_path / "killed").exists()
    for name in ("killed", "whole"):
        train_supervised(shards, tmp_path / name, asked, Silent())
    for name in ("weights.safetensors", "codes.npz"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_second_stage_starts_from_the_first(shards: Path, tmp_path: Path) -> None:
    train_supervised(shards, tmp_path / "first", settings(tmp_path, steps=80), Silent())
    second = SupervisedSettings(start=str(tmp_path / "first"), autodecoder=replace(FAST, steps=4, checkpoint_every=4))
    train_supervised(shards, tmp_path / "second", second, Silent())
    logs = [json.loads((tmp_path / name / "train_log.jsonl").read_text().splitlines()[0]) for name in ("first", "second")]
    assert logs[1]["image"] < 0.9 * logs[0]["image"]
    assert "from the prior first" in load_prior(str(tmp_path / "second")).origin


def test_a_folder_without_shards_says_what_makes_them(tmp_path: Path) -> None:
    with pytest.raises(UnusableMaterial, match="no shards.*prior synth"):
        train_supervised(tmp_path, tmp_path / "p", SupervisedSettings(), Silent())


def test_bad_configurations_are_named(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no such JSON file"):
        train_supervised(shards, tmp_path / "p", SupervisedSettings(config=tmp_path / "none.json"), Silent())


def test_the_shipped_network_is_small() -> None:
    assert sum(value.numel() for value in EG3D(SHIPPED).parameters()) <= 4_000_000


def test_latents_are_linear_and_apart() -> None:
    codes = Codes(described=torch.eye(3), spread=torch.tensor([1.0, 0.1]), w_dim=16)
    person, none = torch.tensor([0, 2]), torch.zeros(2, 2)
    assert torch.equal(codes(person, none), codes.identity(person))
    moved = codes(person, torch.tensor([[1.0, 0.0], [0.0, 1.0]])) - codes.identity(person)
    assert torch.equal(moved[:, :12], torch.zeros(2, 12)) and torch.allclose(moved, codes.directions, atol=1e-6)
    assert torch.allclose(codes.directions[1, 12:], 10 * codes.labels[1]), "what is rare moves w as far"
    with torch.no_grad():
        codes.own[2] += 1.0
    assert codes.identity(torch.tensor([2]))[0, 12:].abs().sum() == 0


def test_what_is_not_known_is_average() -> None:
    values = torch.tensor([[3.0, float("nan"), 100.0]])
    assert standardized(values, torch.ones(3), torch.full((3,), 2.0)).tolist() == [[1.0, 0.0, 4.0]]


def test_patch_rays_are_those_of_the_whole_image(shards: Path) -> None:
    truth = Truth(folder=shards, kept=2)
    truth.load(0)
    camera = truth.draw(1, 2, torch.Generator().manual_seed(0)).camera
    patches, cosine = Patches([(3, 5), (0, 8)], 6).cameras(camera, 16)
    origins, directions = patches.rays(6)
    whole_origins, whole = camera.rays(16)
    for number, (top, left) in enumerate([(3, 5), (0, 8)]):
        part = whole[number].view(16, 16, 3)[top : top + 6, left : left + 6].reshape(-1, 3)
        assert (directions[number] - part).abs().max() < 1e-6
        assert torch.equal(origins[number], whole_origins[number, :36])
    assert cosine.max() <= 1 + 1e-6 and cosine.min() > 0.9


def test_patches_lie_in_the_image_and_on_details() -> None:
    alpha, detail = torch.ones(200, 1, 16, 16), torch.zeros(200, 1, 16, 16)
    detail[:, :, 12:, 12:] = 50.0
    corners = patch_corners(alpha, detail, 6, torch.Generator().manual_seed(0))
    assert all(0 <= value <= 10 for corner in corners for value in corner)
    assert sum(top >= 6 and left >= 6 for top, left in corners) > 150


def test_the_mapping_imitates_the_formula() -> None:
    generator = EG3D(replace(CONFIG, z_dim=16, w_dim=16))
    random = torch.Generator().manual_seed(0)
    people, labels = torch.randn(40, 16, generator=random), torch.rand(60, 5, generator=random)
    directions = torch.randn(5, 16, generator=random)
    sampler = make_sampler(people, labels, directions, 16)
    assert fit_mapping(generator, sampler, steps=400) < 0.1
    shifted = generator.backbone.mapping.w_avg - (people.mean(0) + labels.mean(0) @ directions)
    assert shifted.norm() < 0.3 * people.std(0).norm()
    found = sampler.labels(100 * torch.randn(50, len(sampler.label_parts), generator=random))
    assert (found >= labels.amin(0)).all() and (found <= labels.amax(0)).all()


def test_a_patch_is_super_resolved_as_in_the_whole(shards: Path) -> None:
    generator = EG3D(UNIT).eval()
    features, ws = torch.rand(1, 4, 16, 16), broadcast(torch.randn(1, 8), generator.latent.num_ws)
    with torch.no_grad():
        whole = generator.super_resolve(features, ws)
        part = generator.super_resolve(features[:, :, 2:14, 3:15], ws, patch=True)
    assert part.shape == (1, 3, 24, 24)
    away = (part - whole[:, :, 4:28, 6:30]).abs()
    assert away[:, :, 7:-7, 7:-7].max() < 1e-5 and away.max() > 0.1
    assert away[:, :, 6:-6, 6:-6].max() < 0.1, "BORDER leaves out nearly all that the padding changes"
