"""Images with masks and poses, and a prior of heads on shoulders trained on a handful of them."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.spatial.transform import Rotation

from models.camera import Camera, centered_intrinsics, orbit
from models.families import FAMILIES
from models.heads.bust import bust
from models.heads.skinned_body import mirrored
from models.portrait3d.config import FOCAL, LOOK_AT, PORTRAIT_UNIT, RADIUS
from models.portrait3d.discriminator import PoseDiscriminator
from models.portrait3d.generator import Portrait3D
from models.portrait3d.objectives import FREEZE_KIMG
from pipelines.artifacts.family import config_of
from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.stage import Silent
from pipelines.engine.checkpoint import load_checkpoint
from pipelines.prior.importing.bodies import read_body
from pipelines.prior.people import body
from pipelines.prior.people.shards import shard_path, write_shard
from pipelines.prior.train.posed import (
    ESTIMATOR,
    PosedIteration,
    PosedSettings,
    begin,
    family_of_recipe,
    phases_of,
    train_posed,
)
from pipelines.prior.train.posed_images import looked_at, open_posed
from pipelines.prior.train.training import PriorTrainSettings, train_prior
from tests.pipelines.prior.importing.test_bodies import arrays
from tests.pipelines.prior.importing.test_bodies import write as write_body
from tests.reference import largest_difference

COUNT = 8
FAMILY = FAMILIES["portrait3d"]
CONFIG = replace(PORTRAIT_UNIT, c_gen_conditioning_zero=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs: pictures, masks beside them, labels of 31 numbers."""
    folder, random = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    camera = Camera(
        world_from_camera=orbit(torch.linspace(0.3, 6.0, COUNT), 1.5, RADIUS, LOOK_AT),
        intrinsics=centered_intrinsics(FOCAL).expand(COUNT, -1, -1),
    )
    labels = torch.cat([camera.label(), 0.2 * torch.from_numpy(random.normal(size=(COUNT, 6))).float()], 1)
    for name in ("pictures", "masks"):
        (folder / name).mkdir()
    for number in range(COUNT):
        picture, mask = random.integers(0, 255, (32, 32, 3), dtype=np.uint8), np.zeros((32, 32), np.uint8)
        cv2.circle(mask, (12 + number % 3, 16), 9, 255, -1)
        cv2.imwrite(str(folder / f"pictures/{number}.png"), picture)
        cv2.imwrite(str(folder / f"masks/{number}.webp"), mask, [cv2.IMWRITE_WEBP_QUALITY, 101])
    pairs = [[f"{number}.png", label] for number, label in enumerate(labels.tolist())]
    (folder / "pictures/dataset.json").write_text(json.dumps({"labels": pairs}))
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "unit.json"
    path.write_text(json.dumps(asdict(CONFIG) | {"family": "portrait3d"}))
    return path


def settings_of(data: Path, config: Path, **changes) -> PosedSettings:
    own = {"kimg": 0.012, "batch": 4, "micro_batch": 2, "snapshot_kimg": 0.004, "samples": 4, "masks": data / "masks"}
    return PosedSettings(config=str(config), **own | changes)


def shard(posture: body.Posture, yaw: float) -> dict[str, np.ndarray]:
    """One picture of a person in a posture, as `prior synth` leaves it: the head is the world, in head units of 32 cm."""
    transforms = body.transforms(posture, body.rest_joints(20.0))
    from_rest = np.linalg.inv(transforms[body.HEAD]) @ transforms
    from_rest[:, :3, 3] /= 32.0
    camera = Camera(world_from_camera=orbit(yaw, torch.pi / 2, 8.0), intrinsics=centered_intrinsics(6.0))
    return {
        "image": np.full((1, 32, 32, 3), 90, np.uint8), "alpha": np.full((1, 32, 32), 255, np.uint8),
        "camera": camera.label().numpy(), "joints": from_rest[None].astype(np.float32),
    }  # fmt: skip


def test_shards_stand_on_their_chest(tmp_path: Path) -> None:
    posture, yaw = body.Posture(turn=(30.0, 0.0, 0.0)), 1.1
    write_shard(shard_path(tmp_path, 0), shard(posture, yaw))
    images = open_posed(tmp_path, None, FAMILY.frame)
    assert images.true_poses is not None and images.poses is not None and torch.equal(images.poses, images.true_poses)
    degrees = torch.rad2deg(images.pose(0))
    assert degrees.tolist() == pytest.approx([0.0, 0.45 * 30, 0.0, 0.0, 0.55 * 30, 0.0], abs=1e-3)
    camera = Camera.from_label(images.labels)
    seen_by_head = Camera.from_label(torch.from_numpy(shard(posture, yaw)["camera"]))
    turn = torch.from_numpy(Rotation.from_euler("Y", 30.0, degrees=True).as_matrix()).float()
    assert largest_difference(camera.world_from_camera[0, :3, :3], turn @ seen_by_head.world_from_camera[0, :3, :3]) < 1e-5
    nose = bust().posed(images.true_poses)[:, bust().canonical[:, 2].argmax()]
    rest = torch.from_numpy(
        FAMILY.frame.head_points(bust().canonical[bust().canonical[:, 2].argmax()].double().numpy())
    ).float()
    (own, _), (theirs, _) = camera.project(nose[None]), seen_by_head.project(rest.view(1, 1, 3) / 0.32)
    assert largest_difference(own, theirs) < 0.02, "the nose of a bent body is where the head's is"


def test_labels_get_noise_and_the_truth_stays(tmp_path: Path) -> None:
    for number in range(40):
        write_shard(shard_path(tmp_path, number), shard(body.Posture(), 0.1 * number))
    images, again = (open_posed(tmp_path, None, FAMILY.frame, noise_deg=10.0, seed=3) for _ in range(2))
    assert images.poses is not None and images.true_poses is not None and again.poses is not None
    assert torch.equal(images.poses, again.poses) and not images.true_poses.abs().max() > 1e-6
    assert torch.rad2deg(images.poses - images.true_poses).std() == pytest.approx(10.0, rel=0.1)


def test_pictures_masks_and_poses_belong_together_and_are_mirrored_together(data: Path) -> None:
    images = open_posed(data / "pictures", data / "masks", FAMILY.frame, mirrored=True)
    assert len(images) == 2 * COUNT
    mask = images.mask_batch([2, 2 + COUNT], 32)
    assert torch.equal(mask[0], mask[1].flip(2)) and not torch.equal(mask[0], mask[1])
    assert 0.1 < mask.mean() < 0.9 and mask.max() == 1
    assert torch.equal(images.pose(2 + COUNT), mirrored(images.pose(2)))
    point = looked_at(images)
    assert point == pytest.approx(LOOK_AT, abs=1e-4)


def test_what_is_missing_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableMaterial, match="comes without masks"):
        open_posed(data / "pictures", None, FAMILY.frame)
    shutil.copytree(data / "masks", tmp_path / "masks")
    (tmp_path / "masks/3.webp").unlink()
    with pytest.raises(UnusableMaterial, match=r"no mask for 3.png \(1 are missing\)"):
        open_posed(data / "pictures", tmp_path / "masks", FAMILY.frame)
    record = json.loads((data / "pictures/dataset.json").read_text())
    shutil.copytree(data / "pictures", tmp_path / "pictures")
    short = {"labels": [[name, label[:25]] for name, label in record["labels"]]}
    (tmp_path / "pictures/dataset.json").write_text(json.dumps(short))
    with pytest.raises(UnusableMaterial, match="has no poses"):
        open_posed(tmp_path / "pictures", data / "masks", FAMILY.frame)


def iteration(data: Path, config: Path, **changes) -> PosedIteration:
    settings = settings_of(data, config)
    images = open_posed(data / "pictures", data / "masks", FAMILY.frame, mirrored=True)
    players = begin(FAMILY, CONFIG, settings, "cpu")
    return PosedIteration(players=players, images=images, settings=settings.adversarial, phases=phases_of(FAMILY), **changes)


def test_an_iteration_moves_everything_until_poses_are_held(data: Path, config: Path) -> None:
    for start, moves in ((0.0, True), (FREEZE_KIMG * 1000.0, False)):
        one = iteration(data, config, start=start)
        before = {name: value.clone() for name, value in one.players.generator.named_parameters()}
        figures = one.run()
        assert {"G", "D", "R1"} <= set(figures) and all(np.isfinite(value) for value in figures.values())
        moved = {name for name, value in one.players.generator.named_parameters() if not torch.equal(value, before[name])}
        assert any(name.startswith("pose_branch") for name in moved) is moves
        assert any(name.startswith("backbone.synthesis") for name in moved)
        judge = one.players.judge_average
        assert judge is not None and one.players.iteration == 1


def test_a_training_resumes_to_the_bit_and_leaves_a_prior(data: Path, config: Path, tmp_path: Path) -> None:
    settings = settings_of(data, config)
    report = train_posed(data / "pictures", tmp_path / "whole.prior", FAMILY, settings, Silent(), device="cpu")
    assert report.status == "done" and report.figures["iteration"] == 3 and report.figures["canonical_deg"] >= 0
    prior = load_prior(str(tmp_path / "whole.prior"))
    assert prior.family == "portrait3d" and config_of(prior) == CONFIG and prior.weights and prior.discriminator
    assert np.allclose(prior.frame.prior_from_head, FAMILY.frame.prior_from_head)
    Portrait3D(CONFIG).load_state_dict(load_file(prior.weights))
    PoseDiscriminator(CONFIG).load_state_dict(load_file(prior.folder / ESTIMATOR))
    assert cv2.imread(str(prior.folder / "samples/0000003.png")) is not None

    class Stop(Exception):
        pass

    class Impatient(Silent):
        def note(self, text: str) -> None:
            raise Stop

    with pytest.raises(Stop):
        train_posed(data / "pictures", tmp_path / "broken.prior", FAMILY, settings, Impatient(), device="cpu")
    assert load_checkpoint(tmp_path / "broken.prior.partial/checkpoint.safetensors")[0] == 1
    train_posed(data / "pictures", tmp_path / "broken.prior", FAMILY, settings, Silent(), device="cpu")
    for name in ("weights.safetensors", "discriminator.safetensors", ESTIMATOR):
        assert (tmp_path / "whole.prior" / name).read_bytes() == (tmp_path / "broken.prior" / name).read_bytes()


def test_a_users_body_is_named_and_not_kept(data: Path, config: Path, tmp_path: Path) -> None:
    file = write_body(tmp_path, "npz")
    settings = settings_of(data, config, kimg=0.004, body=file)
    train_posed(data / "pictures", tmp_path / "own.prior", FAMILY, settings, Silent(), device="cpu")
    prior = load_prior(str(tmp_path / "own.prior"))
    own = config_of(prior)
    assert own == replace(CONFIG, body=read_body(file).identity) and prior.weights is not None
    assert set(load_file(prior.weights)) == set(Portrait3D(CONFIG).state_dict())
    again = settings_of(data, config, kimg=0.004, start=str(tmp_path / "own.prior"))
    with pytest.raises(SettingError, match="needs the body .*name its file with --set body=FILE"):
        train_posed(data / "pictures", tmp_path / "more.prior", FAMILY, again, Silent(), device="cpu")
    np.savez(tmp_path / "other.npz", **arrays() | {"v_template": arrays()["v_template"] * 1.1})
    other = replace(again, body=tmp_path / "other.npz")
    with pytest.raises(SettingError, match="trained with the body"):
        train_posed(data / "pictures", tmp_path / "more.prior", FAMILY, other, Silent(), device="cpu")
    train_posed(data / "pictures", tmp_path / "more.prior", FAMILY, replace(again, body=file), Silent(), device="cpu")


def test_settings_that_cannot_be_are_refused(data: Path, config: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="needs two images or more"):
        PosedSettings(micro_batch=1)
    with pytest.raises(SettingError, match="choose one of adversarial, supervised, .*portrait3d"):
        family_of_recipe("eg3d")
    assert family_of_recipe("portrait3d") is FAMILY
    with pytest.raises(SettingError, match="of the family eg3d"):
        train_posed(
            data / "pictures", tmp_path / "a.prior", FAMILY, PosedSettings(config="tiny128"), Silent(), device="cpu"
        )  # fmt: skip
    with pytest.raises(SettingError, match="give --recipe portrait3d"):
        train_prior(
            data / "pictures", tmp_path / "b.prior", PriorTrainSettings(config=str(config)), Silent(), device="cpu"
        )  # fmt: skip
