"""Other families go the whole way by the same code: trained on a capture, driven from all around, evaluated, added to.

PanoHead and 3DPortraitGAN start from an imported prior. The family of `tests.toy_family` is a stranger's: one module outside
of the project and one line in the table.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.families import FAMILIES, MODULES
from pipelines.artifacts.avatar import load_avatar
from pipelines.artifacts.prior import load_prior
from pipelines.core.files import read_json, write_arrays, write_json
from pipelines.core.stage import Silent
from pipelines.drive import DriveSettings, drive
from pipelines.drive.settings import ViewSettings
from pipelines.evaluate import evaluate
from pipelines.evaluate.faces import Find
from pipelines.face.track import save_track
from pipelines.media.video import probe, read_frames
from pipelines.prior.importing.networks import ImportSettings, import_prior
from pipelines.train import PRESETS, TrainSettings, train
from pipelines.train.continue_training import AddingSettings, add, settings_for
from pipelines.train.settings import FinetuneSettings, MapSettings, PairSettings
from tests.pipelines.drive.takes import moving
from tests.published import write_snapshot
from tests.training import TOOLS
from tests.worlds import write_solid_capture

FINETUNE = FinetuneSettings(
    steps=9, coarse=6, fine=6, checkpoint_every=4, adversarial_every=2, adversarial_from=0.0, r1_every=2, augment="fixed"
)
SMALL = {"finetune": FINETUNE, "pairs": PairSettings(count=20, render_px=32), "expression_map": MapSettings(steps=40, hidden=8)}


@pytest.fixture(autouse=True)
def drawn_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker that sees a face everywhere; it runs no network."""
    torch.set_num_threads(1)
    points = load_prior("quick").landmarks

    @contextmanager
    def tracker() -> Iterator[Find]:
        yield lambda image: (points * (1, -1, -1) + 0.5) * len(image)

    monkeypatch.setattr("pipelines.evaluate.recipe.tracker", tracker)


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prior of the stranger's family, which is a module outside of the project."""
    shutil.copy(Path(__file__).parents[1] / "toy_family.py", tmp_path / "strange_balls.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(MODULES, "balls", "strange_balls")
    return random_prior(tmp_path / "balls.prior", "balls")


@pytest.fixture
def coded_faces(tmp_path: Path) -> Path:
    """A prior whose codes say who, with which expression and in which light."""
    return random_prior(tmp_path / "faces.prior", "faceshop")


def random_prior(folder: Path, family: str) -> Path:
    """A record of the family's toy, in the shipped prior's units."""
    quick = load_prior("quick")
    write_arrays(folder / "landmarks.npz", landmarks=quick.landmarks)
    record = {"schema": 1, "name": folder.stem, "family": family, "config": asdict(FAMILIES[family].toy), "license": "MIT",
              "meters_per_unit": quick.meters_per_unit, "crop_extent": quick.crop_extent, "origin": "a test",
              "weights_sha256": None}  # fmt: skip
    write_json(folder / "prior.json", record)
    return folder


@pytest.fixture
def full_heads(tmp_path: Path) -> Path:
    return imported_prior(tmp_path, "panohead")


@pytest.fixture
def shoulders(tmp_path: Path) -> Path:
    return imported_prior(tmp_path, "portrait3d")


def imported_prior(tmp_path: Path, name: str) -> Path:
    """A prior imported from a published file of full heads, as small as it gets."""
    family = FAMILIES[name]
    config = replace(family.toy, c_gen_conditioning_zero=False, ray_start=2.25, ray_end=3.3, superresolution_channels=None)
    torch.manual_seed(0)
    generator, (judge,) = family.build(config), family.discriminators(config).values()
    with torch.no_grad():
        generator.decoder.net[2].bias[0] = 3.0  # pyright: ignore  # something to see: density everywhere in the box
    source = write_snapshot(tmp_path / "heads.pkl", generator, judge.network, trace=tmp_path / "trace")  # pyright: ignore
    import_prior(source, tmp_path / "heads.prior", ImportSettings(license_of="panohead-512"), Silent())
    assert not (tmp_path / "trace").exists()
    return tmp_path / "heads.prior"


def settings(prior: Path) -> TrainSettings:
    return replace(PRESETS["quick"], prior=str(prior), torso="none", **SMALL)


def trained(prior: Path, place: Path) -> Path:
    """The avatar of a solid, from the prior."""
    write_solid_capture(place / "solid.capture")
    train(place / "solid.capture", place / "solid.avatar", settings(prior), Silent(), tools=TOOLS)
    return place / "solid.avatar"


def go_the_whole_way(prior: Path, place: Path) -> None:
    avatar = trained(prior, place)
    model, family = load_avatar(avatar), load_prior(str(prior)).family
    assert model.generator.family == family == read_json(avatar / "avatar.json")["family"]
    losses = (avatar / "train_log.jsonl").read_text()
    assert all(name in losses for name in ("adversarial", "density", "image", "augment"))
    figures = evaluate(avatar)
    assert figures["frames"] == 3 and np.isfinite(figures["avatar"]["psnr_full"])
    save_track(place / "moves.track", moving(8, rate_hz=10.0))
    turned(avatar, place)
    added(avatar, prior, place)


def turned(avatar: Path, place: Path) -> None:
    """Seen from all around: what is behind is another picture than the front."""
    around = DriveSettings(size=32, segment=8, batch=4, view="turntable", views=ViewSettings(turn_period_s=0.8))
    drive(avatar, place / "moves.track", place / "around.mp4", around, Silent())
    frames = np.stack([frame.image for frame in read_frames(place / "around.mp4")]).astype(int)
    assert probe(place / "around.mp4").frames == len(frames) == 8
    assert np.abs(frames[0] - frames[4]).max() > 8


def added(avatar: Path, prior: Path, place: Path) -> None:
    write_solid_capture(place / "more.capture", begins=np.pi, fingerprint="b" * 64)
    own: AddingSettings = replace(settings_for(avatar, PRESETS["quick"]), **SMALL)
    add(avatar, place / "more.capture", place / "better.avatar", own, Silent(), tools=TOOLS)
    before, after = load_avatar(avatar).generator, load_avatar(place / "better.avatar").generator
    assert before.family == after.family
    assert any(not torch.equal(value, after.state_dict()[name]) for name, value in before.state_dict().items())


@pytest.mark.slow
def test_imported_full_heads_go_the_whole_way(full_heads: Path, tmp_path: Path) -> None:
    go_the_whole_way(full_heads, tmp_path)


@pytest.mark.slow
def test_imported_heads_on_shoulders_go_the_whole_way(shoulders: Path, tmp_path: Path) -> None:
    go_the_whole_way(shoulders, tmp_path)


@pytest.mark.slow
def test_a_strangers_family_goes_the_whole_way(stranger: Path, tmp_path: Path) -> None:
    go_the_whole_way(stranger, tmp_path)


@pytest.mark.slow
def test_coded_faces_go_the_whole_way(coded_faces: Path, tmp_path: Path) -> None:
    go_the_whole_way(coded_faces, tmp_path)


@pytest.mark.parametrize("prior", ["full_heads", "shoulders", "stranger", "coded_faces"])
def test_another_family_learns_a_person(prior: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(prior)
    avatar = load_avatar(trained(folder, tmp_path))
    assert avatar.generator.family == load_prior(str(folder)).family
