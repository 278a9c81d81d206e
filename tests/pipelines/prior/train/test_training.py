"""A base generator trained on a tiny data set of colored balls seen by cameras."""

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.eg3d.generator import EG3D
from pipelines.artifacts.prior import load_prior
from pipelines.assets.store import register
from pipelines.core.errors import AvatarError, MissingTool, SettingError, UnusableMaterial
from pipelines.core.stage import Silent
from pipelines.engine.checkpoint import load_checkpoint
from pipelines.prior.catalog import find_entry
from pipelines.prior.people.shards import shard_path, write_shard
from pipelines.prior.train.adversarial import AdversarialSettings, Iteration, draw, make_adversaries
from pipelines.prior.train.images import open_images
from pipelines.prior.train.quality import distances, fid, kid, network_features, random_features
from pipelines.prior.train.training import PriorTrainSettings, begin, network_of, train_prior
from tests.balls import COUNT, write_balls, write_unit_config


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_balls(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_unit_config(tmp_path_factory.mktemp("config") / "unit.json")


def settings_of(config: Path, **changes) -> PriorTrainSettings:
    adversarial = AdversarialSettings(**{"kimg": 0.024, "batch": 4, "micro_batch": 4, "snapshot_kimg": 0.008, **changes})
    return PriorTrainSettings(config=str(config), head_space="quick", samples=8, adversarial=adversarial)


def test_a_folder_and_its_zip_are_the_same_data(data: Path, tmp_path: Path) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for path in data.rglob("*.*"):
            packed.write(path, path.relative_to(data).as_posix())
    (images, labels), (packed_images, packed_labels) = (open_images(one).batch([0, 5], 32) for one in (data, archive))
    assert torch.equal(images, packed_images) and torch.equal(labels, packed_labels)
    assert images.shape == (2, 3, 32, 32) and images.min() == -1


def test_mirrored_pictures_have_mirrored_cameras(data: Path) -> None:
    images = open_images(data, mirrored=True)
    assert len(images) == 2 * COUNT
    (plain, label), (flipped, other) = images.batch([3], 32), images.batch([3 + COUNT], 32)
    assert torch.equal(flipped, plain.flip(3))
    changed = (label * other < 0)[0].nonzero().flatten().tolist()
    assert set(changed) <= {1, 2, 3, 4, 8} and 3 in changed


def test_shards_are_a_data_set(data: Path, tmp_path: Path) -> None:
    images = open_images(data)
    pictures = np.stack([images.picture(number, 32) for number in range(COUNT)])
    for number, rows in enumerate((slice(0, 7), slice(7, COUNT))):
        write_shard(shard_path(tmp_path, number), {"image": pictures[rows], "camera": images.labels[rows].numpy()})
    shards = open_images(tmp_path)
    (ours, labels), (theirs, others) = shards.batch([2, 9], 32), images.batch([2, 9], 32)
    assert len(shards) == COUNT and torch.equal(ours, theirs) and torch.equal(labels, others)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "no dataset.json"), ("{", "not JSON"), ('{"labels": null}', "no labels"),
        ('{"labels": [["a.png", [1, 2]]]}', "25 finite numbers"), ('{"labels": [["a.png"]]}', "pairs"),
        (json.dumps({"labels": [["a.png", [0.0] * 25]]}), "names a.png"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_data_set_is_said(tmp_path: Path, content: str | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(UnusableMaterial, match=sentence):
        open_images(tmp_path)


def test_pictures_that_are_too_small_or_broken_are_named(data: Path, tmp_path: Path) -> None:
    images = open_images(data)
    with pytest.raises(UnusableMaterial, match=r"img000.png .* 32x32 px"):
        images.batch([0], 64)
    shutil.copytree(data, tmp_path / "broken")
    (tmp_path / "broken/00000/img000.png").write_bytes(b"none")
    with pytest.raises(UnusableMaterial, match="not a readable picture"):
        open_images(tmp_path / "broken").batch([0], 32)


def test_every_round_shows_every_image_once(data: Path) -> None:
    images = open_images(data)
    rounds = [[draw(images, number * COUNT + place, "0 D") for place in range(COUNT)] for number in range(2)]
    assert sorted(rounds[0]) == sorted(rounds[1]) == list(range(COUNT)) and rounds[0] != rounds[1]


def test_an_iteration_is_the_same_every_time_and_covers_its_batch(data: Path, config: Path) -> None:
    gradients, settings = [], settings_of(config, batch=6)
    for _ in range(2):
        players = make_adversaries(*networks(settings), settings.adversarial)
        iteration = Iteration(players=players, images=open_images(data), settings=settings.adversarial)
        assert list(iteration.pieces()) == [(0, 4), (4, 2)]
        iteration.run()
        gradients.append([p.grad for p in players.discriminator.parameters() if p.grad is not None])
    assert len(gradients[0]) > 20 and all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def networks(settings: PriorTrainSettings):
    players = begin(*network_of(settings), settings, "cpu")
    return players.generator, players.discriminator


def test_training_makes_a_prior_that_loads_and_resumes_to_the_bit(data: Path, config: Path, tmp_path: Path) -> None:
    settings = settings_of(config, augment="ada", raw_start=8, raw_fade_kimg=0.016)
    report = train_prior(data, tmp_path / "whole.prior", settings, Silent(), device="cpu")
    prior = load_prior(str(tmp_path / "whole.prior"))
    assert report.status == "done" and report.figures["iteration"] == 6 and "kid_random_features" in report.figures
    EG3D(network_of(settings)[1]).load_state_dict(load_file(prior.weights or ""))
    assert (tmp_path / "whole.prior/walk.mp4").stat().st_size > 1000
    sheet = cv2.imread(str(tmp_path / "whole.prior/samples/0000006.png"))
    assert sheet is not None and sheet.shape == (6 * 32, 5 * 32, 3)

    class Stop(Exception):
        pass

    class Impatient(Silent):
        def note(self, text: str) -> None:
            raise Stop

    for iterations in (2, 4):
        with pytest.raises(Stop):
            train_prior(data, tmp_path / "broken.prior", settings, Impatient(), device="cpu")
        assert load_checkpoint(tmp_path / "broken.prior.partial/checkpoint.safetensors")[0] == iterations
    again = train_prior(data, tmp_path / "broken.prior", settings, Silent(), device="cpu")
    names = ("weights.safetensors", "discriminator.safetensors")
    assert all((tmp_path / "whole.prior" / name).read_bytes() == (again.out / name).read_bytes() for name in names)
    assert train_prior(data, again.out, settings, Silent(), device="cpu").status == "unchanged"


def test_the_discriminator_learns_to_tell_noise_from_the_data(data: Path, config: Path) -> None:
    settings = settings_of(config, kimg=0.24, blur_fade_kimg=0.0001, discriminator_learning_rate=0.01)
    players = begin(*network_of(settings), settings, "cpu")
    images = open_images(data)
    losses = [Iteration(players=players, images=images, settings=settings.adversarial).run()["D"] for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])


def test_an_unknown_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="ffhq512"):
        network_of(PriorTrainSettings(config="none"))
    (tmp_path / "c.json").write_text('{"z_dimension": 4}')
    with pytest.raises(SettingError, match="z_dimension"):
        network_of(PriorTrainSettings(config=str(tmp_path / "c.json")))


def test_distances_worked_numbers() -> None:
    assert kid(np.zeros((2, 1)), np.ones((2, 1))) == pytest.approx(1 + 8 - 2)
    random = np.random.default_rng(0)
    first, second = random.normal(size=(4000, 1)), random.normal(3, 1, size=(4000, 1))
    assert fid(first, second) == pytest.approx(9, abs=0.4)
    assert abs(kid(first[:500], first[500:1000])) < 0.5


def test_random_features_are_always_the_same_and_see_a_difference() -> None:
    images = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    features = random_features(images)
    assert features.shape == (6, 960) and np.array_equal(features, random_features(images))
    assert kid(features, random_features(images.flip(0))) < kid(features, random_features(images * 0.5))


def test_a_feature_network_has_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("no")
    with pytest.raises(UnusableMaterial, match="not an ONNX network"):
        network_features(str(tmp_path / "a.onnx"))
    with pytest.raises(SettingError, match="no such file"):
        network_features("nothing.onnx")


class Colors(torch.nn.Module):
    """[N,3] means of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.ones(3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.gain * images.mean((2, 3))


class Inception(torch.nn.Module):
    """The signature of the network that published FIDs are measured with."""

    def forward(self, images: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return images.mean((2, 3)) if return_features else images.new_zeros(len(images), 1000)


@pytest.mark.parametrize(("network", "scale"), [(Colors(), 1.0), (Inception(), 127.5)])
def test_a_torchscript_network_runs_once_it_is_vouched_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: torch.nn.Module, scale: float
) -> None:
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path))
    entry = find_entry("feature-network")
    with pytest.raises(MissingTool, match=r"no features.pt .* prior register feature-network"):
        network_features(entry.name)
    torch.jit.script(network).save(tmp_path / entry.file)
    with pytest.raises(MissingTool, match="no checksum is known"):
        network_features(entry.name)
    with pytest.raises(SettingError, match="register it as feature-network"):
        network_features(str(tmp_path / entry.file))
    with pytest.raises(MissingTool, match="has the sha256"):
        register(entry, "0" * 64)
    register(entry)
    features = network_features(entry.name)(torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32)]))
    assert features.shape == (2, 3) and np.allclose(features[1] - features[0], scale, atol=0.6)
    (tmp_path / entry.file).write_bytes(b"another")
    with pytest.raises(MissingTool, match="no checksum is known"):
        network_features(entry.name)
    register(entry)
    with pytest.raises(UnusableMaterial, match="not a TorchScript network"):
        network_features(entry.name)
    torch.jit.script(torch.nn.Linear(3, 3)).save(tmp_path / entry.file)
    register(entry)
    with pytest.raises(UnusableMaterial, match="takes no images"):
        network_features(entry.name)


def test_a_feature_network_gives_kid_and_fid(data: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVATARCLI_WEIGHTS", str(tmp_path))
    torch.jit.script(Colors()).save(tmp_path / "features.pt")
    register(find_entry("feature-network"))
    players, images = begin(*network_of(settings_of(config)), settings_of(config), "cpu"), open_images(data)
    figures = distances(players.average, images, 8, network_features("feature-network"), "cpu")
    assert figures.keys() == {"kid", "fid"} and figures["fid"] > 0 and np.isfinite(figures["kid"])
    assert distances(players.average, images, 8, None, "cpu").keys() == {"kid_random_features"}


def test_fid_of_few_samples_is_that_of_the_matrix_root() -> None:
    from scipy.linalg import sqrtm

    random = np.random.default_rng(0)
    ours, theirs = random.normal(size=(50, 6)), random.normal(1, 2, size=(50, 6))
    first, second = np.cov(ours, rowvar=False), np.cov(theirs, rowvar=False)
    root = np.trace(np.real(sqrtm(first @ second)))
    expected = np.square(ours.mean(0) - theirs.mean(0)).sum() + np.trace(first + second) - 2 * root
    assert fid(ours, theirs) == pytest.approx(expected, rel=1e-9)
    few = random.normal(size=(4, 30)).astype(np.float32)
    assert fid(few, few) == pytest.approx(0, abs=1e-4)


def test_a_picture_that_breaks_late_costs_no_checkpoint(data: Path, config: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")

    class Meanwhile(Silent):
        def note(self, text: str) -> None:
            for path in (tmp_path / "data/00000").iterdir():
                path.write_bytes(b"none")

    with pytest.raises(AvatarError, match="not a readable picture.*continues at the last checkpoint") as caught:
        train_prior(tmp_path / "data", tmp_path / "a.prior", settings_of(config), Meanwhile(), device="cpu")
    assert caught.value.exit_code == 4 and (tmp_path / "a.prior.partial/checkpoint.safetensors").exists()
