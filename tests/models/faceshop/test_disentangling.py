"""Losses of stage two against the official vectors, and by their formulas."""

import pytest
import torch
from torch.nn import functional as F

from models.faceshop.disentangling import (
    HAIR,
    LIPS,
    NOT_FACE,
    flow_loss,
    mask_loss,
    pixel_flow,
    probability,
    region,
    region_loss,
    style_loss,
)
from models.faceshop.imitation import landmark_loss, seen_at_224
from models.heads.face3dmm import SIZE, TRANSLATION, Posed, posed
from models.rendering.mesh import Projected, interpolated, rasterize
from models.training.flow import moved_by
from tests.faceshop_goldens import golden, labels, pictures, toy_faces, toy_model
from tests.reference import largest_difference

RELATIVE = 1e-3


def as_mesh(face: Posed) -> Projected:
    return Projected(pixels=face.pixels, depth=face.depth)


def test_regions_and_hair_are_compared_as_officially() -> None:
    official, classes = golden("10_disentangle"), labels()
    images = ((pictures(official["img_low32"]) + 1) / 2).split(1)
    masks = {name: region(classes, wanted, 512).split(1) for name, wanted in
             (("background", (0,)), ("nonface", NOT_FACE), ("hair", HAIR))}  # fmt: skip
    floors = {name: 2e-4 * 512**2 / float(sum(one.sum() for one in both)) for name, both in masks.items()}  # ours is 0
    background, rest = (float(region_loss(*images, *masks[name])) + floors[name] for name in ("background", "nonface"))
    assert 100 * background == pytest.approx(float(official["id_total"]), rel=RELATIVE)
    assert rest == pytest.approx(float(official["comp_nonface"]), rel=RELATIVE)
    assert float(mask_loss(*masks["hair"])) == pytest.approx(float(official["comp_hair"]), rel=RELATIVE)


def test_totals_are_the_official_ones() -> None:
    """The identity in the light's total is what its other parts leave: the template of the release's first warp is not
    known."""
    official = golden("10_disentangle")
    parts = {name.removeprefix("comp_"): float(value) for name, value in official.items() if name.startswith("comp_")}
    expression = 100 * parts["exp_tex"] + 100 * parts["nonface"] + 50 * parts["hair"] + 50 * parts["style"]
    assert expression == pytest.approx(float(official["exp_total"]), rel=RELATIVE)
    light = 100 * parts["nonface"] + 50 * parts["hair"] + 10 * parts["gamma_id_implied"] + parts["gamma_lm"]
    assert light == pytest.approx(float(official["gamma_total"]), rel=RELATIVE)


def test_landmarks_of_the_lights_pair_are_compared_as_officially() -> None:
    weights = torch.ones(68)
    weights[17:27], weights[36], weights[60:] = 60.0, 60.0, 30.0
    first, second = golden("09_imitative")["recon_lm"].split(1)
    ours = landmark_loss(first, second, weights, squared=True)
    assert float(ours) == pytest.approx(float(golden("10_disentangle")["comp_gamma_lm"]), rel=RELATIVE)


def test_flows_are_true_pixels_and_the_official_ones_too_long() -> None:
    official = golden("10_disentangle")
    first, second = toy_faces([0], [0], [0]), toy_faces([0], [1], [0])
    flow, mask = pixel_flow(toy_model().triangles, as_mesh(first), as_mesh(second), SIZE)
    assert torch.equal(mask.bool(), official["mask_pair"][1:])
    assert largest_difference(flow, official["flow_px_own"]) < 1e-5 * float(official["flow_px_own"].abs().max())
    large = official["flow_px_own"].abs() > 5
    ratio = (SIZE * official["flow_224_units"])[large] / official["flow_px_own"][large]
    assert ratio.median() == pytest.approx(2.17, abs=0.02)


def test_a_moved_face_is_compared_as_officially() -> None:
    official = golden("10_disentangle")
    before, after = seen_at_224(pictures(official["img_low32"])).split(1)
    first, second = official["mask_pair"].float().split(1)
    loss = flow_loss(before, after, SIZE * official["flow_224_units"], 1 - first * (1 - second))
    assert float(loss) == pytest.approx(float(official["comp_exp_tex"]), rel=RELATIVE)


def test_lips_are_compared_as_officially() -> None:
    """One number over all channels and pixels of masked features; ours takes channels apart and counts lips only."""
    official = golden("10_disentangle")
    images, lips = (pictures(official["img_low32"]) + 1) / 2, region(labels(), LIPS, 512)
    features = F.relu(F.conv2d(images, official["stub_vgg_W"], stride=4))
    masked = features * F.interpolate(lips, size=features.shape[2:], mode="nearest")
    one, other = ((values.mean(), values.var()) for values in masked)
    theirs = sum(float(a - b) ** 2 for a, b in zip(one, other, strict=True))
    assert theirs == pytest.approx(float(official["comp_style"]), rel=RELATIVE)


def test_the_true_flow_takes_one_face_to_the_other() -> None:
    """Smooth colors of the skin, seen with two expressions: the first moved is the second where both show the same skin."""
    model, coefficients = toy_model(), golden("02_face_model")
    place = torch.tensor([TRANSLATION])
    shape = coefficients["coef_id"][:1]
    neutral, smiling = (
        posed(model, model.shape(shape, share * 0.1 * coefficients["coef_exp"][:1]), torch.zeros(1, 3), place)
        for share in (0.0, 1.0)
    )
    colors = (1 + torch.sin(2 * model.mean_shape)) / 2
    fragments = [rasterize(face.pixels, face.points[..., 2], model.triangles, SIZE) for face in (neutral, smiling)]
    first, second = (interpolated(one, colors[None], model.triangles) for one in fragments)
    flow, mask = pixel_flow(model.triangles, as_mesh(neutral), as_mesh(smiling), SIZE)
    there = moved_by((fragments[0].mask > 0).float(), -flow) > 0.999
    same = moved_by(_where(fragments[0].triangle), -flow).round() == _where(fragments[1].triangle)
    shared_skin = (mask > 0) & there & same
    error = (moved_by(first, -flow) - second).abs() * shared_skin
    assert shared_skin.float().sum() > 5000 and flow.abs().max() > 1
    assert error.sum() / (3 * shared_skin.sum()) < 1 / 255


def _where(triangle: torch.Tensor) -> torch.Tensor:
    return triangle[:, None].float()


def test_equal_pictures_are_at_the_floor() -> None:
    image, mask = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    assert region_loss(image, image, mask, mask).abs() < 1e-6
    assert flow_loss(image, image, torch.zeros(1, 2, 16, 16), mask).abs() < 1e-6
    assert style_loss(image, image, mask, mask) == 0 and mask_loss(mask, mask) == 0


def test_style_is_mean_and_variance_of_each_channel_over_the_mask() -> None:
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., :2] = 1.0
    first = torch.randn(1, 2, 4, 4)
    outside = torch.where(mask > 0, first, 100.0)
    assert style_loss(first, outside, mask, mask) == 0
    assert style_loss(first, first + torch.tensor([1.0, 0.0]).view(1, 2, 1, 1), mask, mask) == pytest.approx(0.5, rel=1e-4)
    assert style_loss(first, torch.roll(first, 1, 2), mask, mask) < 1e-9, "where in the lips does not count"


def test_regions_are_decided_and_probabilities_have_gradients() -> None:
    classes = torch.softmax(torch.randn(1, 19, 8, 8), 1).requires_grad_()
    mask = region(classes, NOT_FACE, 16)
    assert mask.shape == (1, 1, 16, 16) and set(mask.unique().tolist()) <= {0.0, 1.0} and not mask.requires_grad
    (gradient,) = torch.autograd.grad(mask_loss(probability(classes, HAIR), torch.zeros(1, 1, 8, 8)), classes)
    assert gradient[:, 17].any() and not gradient[:, 0].any()
