"""Networks that draw likely coefficients: from measured arrays and from shards, and a prior's training that takes them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.camera import Camera
from models.eg3d.family import FAMILY as PLAIN
from models.faceshop.codes import decoded
from models.faceshop.config import FACESHOP_UNIT
from models.faceshop.family import FAMILY
from models.faceshop.guide import frame_of
from models.generator import Control, Rendering, rendered
from models.heads.face_files import load_face_model
from models.heads.lighting import irradiance
from pipelines.artifacts.face_sampler import RECORD, load_face_sampler
from pipelines.artifacts.prior import load_prior
from pipelines.core.errors import SettingError, UnusableMaterial
from pipelines.core.stage import Silent
from pipelines.face.ict import load_face_model as load_people_model
from pipelines.face.ict import to_head_units
from pipelines.prior.people.shading import irradiance as irradiance_of_shards
from pipelines.prior.people.shards import shard_path, write_shard
from pipelines.prior.train.adversarial import AdversarialSettings, Iteration, make_adversaries
from pipelines.prior.train.draws import faces_draw, guide_of, normal_draw
from pipelines.prior.train.faces import FacesSettings, as_face_light, coefficients, train_faces
from pipelines.prior.train.images import open_images
from tests.balls import write_balls
from tests.material import shared

FEW = FacesSettings(steps=30, license="CC0")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    path = tmp_path / "faces.npz"
    np.savez(path, shape=3 * random.normal(size=(90, 3)), expression=random.uniform(size=(200, 4)), other=np.zeros(3),
             light=0.3 * random.normal(size=(90, 27)))  # fmt: skip
    return path


def test_what_is_trained_is_what_is_loaded(data: Path, tmp_path: Path) -> None:
    report = train_faces(data, tmp_path / "faces", FEW, Silent())
    assert report.figures["faces"] == {"shape": 90, "expression": 200, "light": 90}
    assert report.figures["shape_spread"] > 0.2 and "light_kept" in report.figures
    faces = load_face_sampler(tmp_path / "faces")
    drawn, again = (faces.sample(5, torch.Generator().manual_seed(1)) for _ in range(2))
    assert {name: values.shape for name, values in drawn.items()} == {"shape": (5, 3), "expression": (5, 4), "light": (5, 27)}
    assert all(torch.equal(drawn[name], again[name]) for name in drawn)
    assert drawn["expression"].min() > 0 and drawn["expression"].max() < 1, "blendshapes stay blendshapes"
    assert drawn["shape"].abs().max() > 1, "in the face model's units"
    assert train_faces(data, tmp_path / "faces", FEW, Silent()).status == "unchanged"


def test_the_same_seed_learns_the_same(data: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        train_faces(data, tmp_path / name, replace(FEW, steps=3), Silent())
    first, second = (load_face_sampler(tmp_path / name).sample(2, torch.Generator().manual_seed(0)) for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_shards_have_a_row_a_person_and_a_row_a_state(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    person, state = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 2, 2])
    arrays = {"identity": random.normal(size=(2, 100))[person], "expression": random.uniform(size=(3, 53))[state],
              "light": random.normal(size=(3, 9, 3))[state], "person": person, "state": state}  # fmt: skip
    write_shard(shard_path(tmp_path, 0), arrays)
    parts = coefficients(tmp_path, shapes=40)
    assert {name: values.shape for name, values in parts.items()} == {"shape": (2, 40), "expression": (3, 53), "light": (3, 27)}
    assert np.allclose(parts["expression"][1], arrays["expression"][2])


def test_light_of_shards_is_the_same_light() -> None:
    random = np.random.default_rng(0)
    light = random.normal(size=(1, 9, 3))
    normals = torch.nn.functional.normalize(torch.from_numpy(random.normal(size=(1, 30, 3))), dim=-1)
    ours = irradiance(normals.float(), torch.from_numpy(as_face_light(light)))
    theirs = [[irradiance_of_shards(x, y, z, light[0], channel) for channel in range(3)] for x, y, z in normals[0].tolist()]
    assert np.allclose(ours[0].numpy(), theirs, atol=1e-4)


def test_a_prior_draws_its_codes_from_them(data: Path, tmp_path: Path) -> None:
    train_faces(data, tmp_path / "faces", FEW, Silent())
    draw = faces_draw(FAMILY, FACESHOP_UNIT, load_face_sampler(tmp_path / "faces"))
    z, plain = draw(3, torch.Generator().manual_seed(0)), normal_draw(FACESHOP_UNIT.z_dim)(3, torch.Generator().manual_seed(0))
    assert torch.equal(z[:, FACESHOP_UNIT.blocks["noise"]], plain[:, FACESHOP_UNIT.blocks["noise"]])
    given = decoded(FACESHOP_UNIT, z)
    assert given.expression.min() > 0 and given.expression.max() < 1
    assert torch.allclose(given.albedo, decoded(FACESHOP_UNIT, plain).albedo), "what is not in the data stays normal"


def test_what_does_not_fit_is_refused(data: Path, tmp_path: Path) -> None:
    train_faces(data, tmp_path / "faces", replace(FEW, steps=1), Silent())
    faces = load_face_sampler(tmp_path / "faces")
    with pytest.raises(SettingError, match="have no part for a face model"):
        faces_draw(PLAIN, PLAIN.toy, faces)
    with pytest.raises(SettingError, match="the part shape of this generator's code has 5 coefficients, not 3"):
        faces_draw(FAMILY, replace(FACESHOP_UNIT, shape_dim=5), faces)
    (tmp_path / "faces" / "faces.safetensors").write_bytes(b"other")
    with pytest.raises(UnusableMaterial, match="does not have the sha256"):
        load_face_sampler(tmp_path / "faces")
    (tmp_path / "faces" / RECORD).unlink()
    with pytest.raises(UnusableMaterial, match="is missing"):
        load_face_sampler(tmp_path / "faces")


CODED = replace(FACESHOP_UNIT, shape_dim=40, albedo_dim=3, expression_dim=53)


def test_the_face_model_lies_where_synthetic_people_have_their_faces() -> None:
    path, frame = shared("ict/ict_facekit.npz"), load_prior("quick").frame
    model, people = load_face_model(path), load_people_model(path)
    ours = frame_of(model, frame).points(model.mean_shape[None])[0, model.landmarks]
    assert np.allclose(ours.numpy(), to_head_units(people.mean[people.landmarks]), atol=1e-5)


def test_a_guide_teaches_from_its_time_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    guide = guide_of(FAMILY, CODED, shared("ict/ict_facekit.npz"), load_prior("quick").frame, "cpu")
    generator, camera = FAMILY.build(CODED), Camera.frontal(2.7, 2.7 / 0.85)[[0, 0]]
    z, condition = 0.3 * torch.randn(2, CODED.z_dim), camera.label()
    rendering = rendered(generator, Control(ws=generator.mapping(z, condition)), camera)
    early, late = (guide(generator, rendering, z=z, condition=condition, camera=camera, share=share) for share in (0.0, 0.5))
    assert early == 0 < late
    late.backward()
    assert any(one.grad is not None and one.grad.any() for one in generator.groups()["superresolution"])
    face = guide.lesson.face(CODED, 0 * z, camera)  # pyright: ignore[reportAttributeAccessIssue]
    assert 0.1 < face.mask.mean() < 0.5 and face.landmarks.min() > 20 and face.landmarks.max() < 204


def test_a_training_asks_its_guide(tmp_path: Path) -> None:
    """Whose loss counts beside the discriminator's."""
    images, (family, config) = open_images(write_balls(tmp_path / "data")), (FAMILY, FACESHOP_UNIT)
    settings = AdversarialSettings(kimg=0.008, batch=4, micro_batch=4)
    torch.manual_seed(0)
    players = make_adversaries(family.build(config), family.discriminators(config)["image"].network, settings)
    iteration = Iteration(players=players, images=images, settings=settings)
    plain, asked = iteration.against(0, 4), []

    def guide(generator: Any, rendering: Rendering, *, z: Tensor, condition: Tensor, camera: Camera, share: float) -> Tensor:
        asked.append((rendering.image.shape, z.shape, condition.shape, len(camera), share))
        return rendering.image.new_tensor(5.0)

    players.guide = guide
    torch.testing.assert_close(iteration.against(0, 4), plain + 5)
    assert asked == [((4, 3, 32, 32), (4, config.z_dim), (4, 25), 4, 0.0)]


def test_a_face_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    frame, path = load_prior("quick").frame, shared("ict/ict_facekit.npz")
    with pytest.raises(SettingError, match="have no part for a face model"):
        guide_of(PLAIN, PLAIN.toy, path, frame, "cpu")
    with pytest.raises(SettingError, match="coefficients of shape, albedo and expression, and the codes have"):
        guide_of(FAMILY, FACESHOP_UNIT, path, frame, "cpu")
    with pytest.raises(SettingError, match="face_model: "):
        guide_of(FAMILY, FACESHOP_UNIT, tmp_path / "none.npz", frame, "cpu")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": np.zeros(3)}, "holds no coefficients"),
        ({"light": np.zeros((4, 9))}, "light"),
        ({"shape": np.zeros((1, 9))}, "holds 1 rows of shape"),
        ({"shape": np.full((4, 9), np.nan)}, "finite"),
    ],
)
def test_material_without_coefficients_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnusableMaterial, match=message):
        train_faces(tmp_path / "x.npz", tmp_path / "faces", FEW, Silent())
    assert not (tmp_path / "faces").exists()
