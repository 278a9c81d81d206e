"""Steps of a training in its stages, on a toy generator and a face of a few triangles."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.faceshop.codes import decoded
from models.faceshop.discriminator import FaceShopDiscriminator
from models.faceshop.generator import FaceShop
from models.faceshop.guidance import face_render
from models.faceshop.imitation import seen_at_224, texture_loss
from models.faceshop.objective import ImitationWeights, PairWeights
from models.faceshop.schedule import phase_at
from models.faceshop.stages import Lesson, discriminator_loss_of, generator_terms, shown
from models.heads.face3dmm import FaceModel
from tests.models.faceshop.toy_face import CAMERA, CONFIG, bowl, codes, toy_helpers

STAGES = {"adversarial": 0, "imitation": 5_000, "semantics": 20_000, "pairs": 300_000}


@pytest.fixture
def model() -> FaceModel:
    return bowl()


@pytest.fixture
def players() -> tuple[FaceShop, FaceShopDiscriminator]:
    torch.manual_seed(0)
    return FaceShop(CONFIG), FaceShopDiscriminator(CONFIG)


def terms_at(players: tuple[FaceShop, FaceShopDiscriminator], lesson: Lesson, step: int, z: Tensor) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    return generator_terms(*players, z, CAMERA, phase=phase_at(step), lesson=lesson, random=random)


def test_terms_are_those_of_the_stage(players: tuple[FaceShop, FaceShopDiscriminator], model: FaceModel) -> None:
    lesson = Lesson(model=model, helpers=toy_helpers())
    seen = {name: terms_at(players, lesson, step, codes()) for name, step in STAGES.items()}
    assert set(seen["adversarial"]) == {"adversarial"}
    assert set(seen["imitation"]) == {"adversarial", "smoothness", "texture", "skin", "light", "landmarks", "identity"} | (
        {"semantics"}
    )
    assert seen["imitation"]["semantics"] == 0 < seen["semantics"]["semantics"]
    pairs = set(seen["pairs"]) - set(seen["semantics"])
    assert {name.partition("/")[0] for name in pairs} == {"identity", "expression", "light"} and len(pairs) == 9
    for name, value in seen["pairs"].items():
        assert value.isfinite()
        if name in seen["semantics"]:
            torch.testing.assert_close(value, 0.7 * seen["semantics"][name])


def test_a_step_of_the_last_stage_moves_every_part(players: tuple[FaceShop, FaceShopDiscriminator], model: FaceModel) -> None:
    generator, _ = players
    terms = terms_at(players, Lesson(model=model, helpers=toy_helpers()), STAGES["pairs"], codes())
    sum(terms.values(), torch.zeros(())).backward()
    for role, parameters in generator.groups().items():
        assert any(one.grad is not None and one.grad.any() for one in parameters), role
        assert all(one.grad is None or one.grad.isfinite().all() for one in parameters), role


def test_the_discriminator_has_a_loss(players: tuple[FaceShop, FaceShopDiscriminator]) -> None:
    generator, judge = players
    real = {"image": torch.rand(2, 3, 32, 32), "image_raw": torch.rand(2, 3, 16, 16)}
    discriminator_loss_of(generator, judge, codes(), CAMERA, real=real, real_camera=CAMERA).backward()
    assert all(one.grad is not None for one in judge.parameters())
    assert all(one.grad is None for one in generator.parameters())


@pytest.mark.slow
def test_a_generator_learns_what_its_code_says(players: tuple[FaceShop, FaceShopDiscriminator], model: FaceModel) -> None:
    """By imitation alone: faces come to look like the face model's, and the light in them is the asked one."""
    generator, _ = players
    weights = ImitationWeights(landmarks=0, identity=0, semantics=0)
    lesson = Lesson(model=model, imitation=weights, pairs=PairWeights(expression_lips=0, light_identity=0, light_landmarks=0))
    phase = replace(phase_at(STAGES["imitation"]), smoothness=0.0)
    optimizer, random = torch.optim.Adam(generator.parameters(), 0.005), torch.Generator().manual_seed(0)
    z = codes()
    before = distances(generator, model, z)
    for _ in range(80):
        terms = generator_terms(*players, z, CAMERA, phase=phase, lesson=lesson, random=random)
        optimizer.zero_grad()
        (terms["texture"] + terms["skin"] + terms["light"]).backward()
        optimizer.step()
    after = distances(generator, model, z)
    assert after[0] < 0.5 * before[0] and after[1] < 0.3 * before[1]


@torch.no_grad()
def distances(generator: FaceShop, model: FaceModel, z: Tensor) -> tuple[float, float]:
    """Of colors and of light from what the code asks for."""
    face, image = face_render(model, CONFIG, z, CAMERA), seen_at_224(shown(generator, z, CAMERA).rendering.image)
    light = (face.light_in(image) - decoded(CONFIG, z).light).square().mean()
    return float(texture_loss(image, face.image, face.mask)), float(light)
