"""The whole objective of both stages on a toy generator and a face of a few triangles."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.camera import Camera
from models.faceshop.codes import decoded
from models.faceshop.discriminator import FaceShopDiscriminator
from models.faceshop.generator import FaceShop
from models.faceshop.guidance import FaceFrame, FaceRender, face_render, fitted
from models.faceshop.objective import (
    Helpers,
    ImitationWeights,
    Pair,
    PairWeights,
    contrasted,
    expression_terms,
    identity_terms,
    imitation_terms,
    judged_discriminator,
    judged_generator,
    light_terms,
)
from models.faceshop.pose import pose_angles
from models.faceshop.schedule import phase_at
from models.generator import Control, DiscriminatorOutput, Rendering
from models.heads.face3dmm import FaceModel
from tests.models.faceshop.toy_face import CAMERA, CONFIG, bowl, codes, toy_helpers
from tests.reference import largest_difference


@pytest.fixture
def model() -> FaceModel:
    return bowl()


@pytest.fixture
def generator() -> FaceShop:
    torch.manual_seed(0)
    return FaceShop(CONFIG)


def shown(generator: FaceShop, z: Tensor) -> Rendering:
    return generator.render(generator.prepare(Control(ws=generator.mapping(z), code=z)), CAMERA)


def pair_of(generator: FaceShop, model: FaceModel, first: Tensor, second: Tensor) -> Pair:
    faces = [face_render(model, CONFIG, z, CAMERA) for z in (first, second)]
    return Pair(first=shown(generator, first), second=shown(generator, second), first_face=faces[0], second_face=faces[1])


# The face model's picture


def test_the_render_is_lit_as_the_code_says(model: FaceModel) -> None:
    z = codes()
    face = face_render(model, CONFIG, z, CAMERA)
    assert 0.2 < face.mask.mean() < 0.9 and not (face.image * (1 - face.mask)).any()
    assert face.image.max() < 1, "nothing was clipped"
    light = decoded(CONFIG, z).light
    assert largest_difference(face.light_in(face.image), light) < 1e-3
    dark = face_render(model, CONFIG, z * 0, CAMERA)
    assert largest_difference(dark.light_in(dark.image), torch.zeros(2, 27)) < 1e-3


def test_the_face_lies_where_its_frame_says(model: FaceModel) -> None:
    """In other units about another origin other cameras see the same picture."""
    z = codes()
    plain = face_render(model, CONFIG, z, CAMERA)
    pose = CAMERA.world_from_camera.clone()
    pose[:, :3, 3] = (pose[:, :3, 3] - 0.1 * torch.tensor([0.0, 0.3, -0.8])) / 0.32
    moved = Camera(world_from_camera=pose, intrinsics=CAMERA.intrinsics)
    other = face_render(model, CONFIG, z, moved, FaceFrame(meters_per_unit=0.32, origin_dm=(0.0, 0.3, -0.8)))
    assert largest_difference(plain.landmarks, other.landmarks) < 1e-2
    assert (plain.image - other.image).abs().mean() < 1e-3


def test_a_model_of_another_size_is_refused(model: FaceModel) -> None:
    wider = replace(model, shape_basis=torch.zeros(121, 3, 7))
    with pytest.raises(ValueError, match="other numbers of coefficients"):
        face_render(wider, CONFIG, codes(), CAMERA)
    assert fitted(CONFIG, wider).shape_dim == 7


# Stage one


def test_imitation_has_all_terms_and_reaches_the_generator(generator: FaceShop, model: FaceModel) -> None:
    z = codes()
    face = face_render(model, CONFIG, z, CAMERA)
    terms = imitation_terms(shown(generator, z), face, decoded(CONFIG, z).light, toy_helpers(), ImitationWeights())
    assert set(terms) == {"texture", "skin", "light", "landmarks", "identity", "semantics"}
    for name, term in terms.items():
        part = generator.decoder.mask_head if name == "semantics" else generator.sr
        gradients = torch.autograd.grad(term, list(part.parameters()), retain_graph=True, allow_unused=True)
        assert term.isfinite() and any(one is not None and one.any() for one in gradients), name


def test_a_picture_of_the_render_itself_costs_least(generator: FaceShop, model: FaceModel) -> None:
    z = codes()
    face, light = face_render(model, CONFIG, z, CAMERA), decoded(CONFIG, z).light
    weights, alone = ImitationWeights(landmarks=0, identity=0, semantics=0), Helpers()
    painted = imitation_terms(picture(face, 2 * face.image - 1), face, light, alone, weights)
    gray = imitation_terms(picture(face, torch.zeros_like(face.image)), face, light, alone, weights)
    assert painted["texture"] < 0.01 and painted["skin"] < 1e-6
    assert painted["light"] < 1 < 10 < gray["light"] and all(painted[name] < gray[name] for name in painted)


def picture(face: FaceRender, image: Tensor) -> Rendering:
    return Rendering(image=image, raw=image, depth=face.mask, alpha=face.mask)


def test_a_missing_helper_that_counts_is_an_error(generator: FaceShop, model: FaceModel) -> None:
    z = codes()
    face = face_render(model, CONFIG, z, CAMERA)
    with pytest.raises(ValueError, match="no helper for landmarks"):
        imitation_terms(picture(face, face.image), face, z[:, :27], Helpers(), ImitationWeights())
    pair = pair_of(generator, model, z, z)
    with pytest.raises(ValueError, match="no helper for style"):
        expression_terms(pair, model.triangles, Helpers(), PairWeights())
    with pytest.raises(ValueError, match="no helper for recognizer"):
        light_terms(pair, Helpers(), PairWeights())


# Stage two


@pytest.mark.parametrize("block", ["identity", "expression", "light"])
def test_pairs_differ_in_one_block(block) -> None:  # type: ignore[no-untyped-def]
    z = codes()
    other, part = contrasted(CONFIG, z, block), CONFIG.blocks[block]
    rest = torch.ones(CONFIG.z_dim, dtype=torch.bool)
    rest[part] = False
    assert torch.equal(other[:, rest], z[:, rest]) and torch.equal(other[:, part], z.flip(0)[:, part])


def pair_terms(pair: Pair, model: FaceModel) -> dict[str, Tensor]:
    weights, given = PairWeights(), toy_helpers()
    return {
        **identity_terms(pair, weights),
        **expression_terms(pair, model.triangles, given, weights),
        **light_terms(pair, given, weights),
    }


def test_a_pair_of_equals_is_at_the_floor_and_others_are_not(generator: FaceShop, model: FaceModel) -> None:
    z = codes()
    same = pair_terms(pair_of(generator, model, z, z), model)
    other = pair_terms(pair_of(generator, model, z, codes().flip(0)), model)
    assert set(same) == {
        "identity/background", "expression/flow", "expression/background", "expression/hair", "expression/lips",
        "light/background", "light/hair", "light/identity", "light/landmarks",
    }  # fmt: skip
    assert all(term.abs() < 0.02 for term in same.values())
    assert sum(other.values(), torch.zeros(())) > 10 * sum(same.values(), torch.zeros(()))


def test_pairs_reach_the_generator(generator: FaceShop, model: FaceModel) -> None:
    z = codes()
    total = sum(pair_terms(pair_of(generator, model, z, contrasted(CONFIG, z, "expression")), model).values(), torch.zeros(()))
    total.backward()
    weight = generator.sr.block1.conv1.weight.grad
    assert weight is not None and weight.isfinite().all() and weight.any()


def test_pairs_without_classes_are_refused(generator: FaceShop, model: FaceModel) -> None:
    pair = pair_of(generator, model, codes(), codes())
    with pytest.raises(ValueError, match="compared by their classes"):
        identity_terms(replace(pair, first=replace(pair.first, semantics=None)), PairWeights())


# The game


def test_guesses_of_codes_are_learned_from_fakes_alone(generator: FaceShop) -> None:
    z, camera = codes(), CAMERA
    judge, angles = FaceShopDiscriminator(CONFIG), pose_angles(camera)
    fake = judge(shown(generator, z), camera)
    real = judge({"image": torch.rand(2, 3, 32, 32), "image_raw": torch.rand(2, 3, 16, 16)}, camera)
    loss = judged_discriminator(real, fake, angles, z)
    blind = DiscriminatorOutput(logits=real.logits, pose=real.pose, latent=torch.full_like(z, 1e6))
    assert torch.equal(loss, judged_discriminator(blind, fake, angles, z))
    judged_generator(fake, angles, z).backward()
    assert generator.sr.block1.conv1.weight.grad is not None
    perfect = DiscriminatorOutput(logits=torch.zeros(2, 1), pose=angles, latent=z)
    assert float(judged_generator(perfect, angles, z)) == pytest.approx(0.6931, abs=1e-4)
    with pytest.raises(ValueError, match="neither poses nor codes"):
        judged_generator(DiscriminatorOutput(logits=torch.zeros(2, 1)), angles, z)


def test_losses_set_in_one_after_another() -> None:
    seen = {step: phase_at(step) for step in (0, 4_999, 5_000, 20_000, 299_999, 300_000)}
    assert not seen[4_999].imitation and seen[5_000].imitation and not seen[5_000].semantics
    assert seen[20_000].semantics and not seen[299_999].pairs and seen[300_000].pairs
    assert [seen[step].share for step in (0, 299_999, 300_000)] == [1.0, 1.0, 0.7]
    assert [seen[step].smoothness for step in (0, 5_000, 20_000)] == [0.0, 0.1, 0.5]
    assert phase_at(75, total=100).pairs and not phase_at(74, total=100).pairs
