"""Losses of stage one against the official vectors, and by their formulas."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.faceshop.imitation import (
    guided,
    identity_loss,
    landmark_loss,
    landmark_weights,
    light_loss,
    seen_at_224,
    semantic_loss,
    skin_loss,
    texture_loss,
)
from models.heads.face3dmm import SIZE
from tests.faceshop_goldens import golden, pictures
from tests.reference import Tensors

RELATIVE = 1e-3


def parts(official: Tensors) -> tuple[Tensor, Tensor, Tensor]:
    """Image, render and mask of 224 px."""
    image = seen_at_224(pictures(official["img_low32"]))
    return image, official["face_224"].float(), official["mask_224"].float()


def test_pictures_are_compared_as_officially() -> None:
    official = golden("09_imitative")
    image, render, mask = parts(official)
    assert float(texture_loss(image, render, mask)) == pytest.approx(float(official["l2_loss"]), rel=RELATIVE)
    assert float(skin_loss(image, render, mask)) == pytest.approx(float(official["skin_loss"]), rel=RELATIVE)
    seen = F.adaptive_avg_pool2d(image, 7).flatten(1) @ official["stub_recon_W"].T
    assert (seen - official["recon_coeff"]).abs().max() < 1e-5
    light = golden("02_face_model")["coef_gamma"]
    assert float(light_loss(seen[:, 227:254], light)) == pytest.approx(float(official["gamma_loss"]), rel=RELATIVE)


def test_landmarks_are_compared_as_officially() -> None:
    official = golden("09_imitative")
    points = official["recon_lm"], official["face_lm"]
    code = landmark_loss(*points, official["lm_weights_code"], squared=True)
    assert float(code) == pytest.approx(float(official["lm_loss_code"]), rel=RELATIVE)
    paper = torch.where(landmark_weights() == 50, 1.0, landmark_weights())
    ours = landmark_loss(*points, paper) * 68 * SIZE
    assert float(ours) == pytest.approx(float(official["lm_loss_paper_style_own"]), rel=RELATIVE)
    assert float(landmark_loss(torch.zeros(1, 68, 2), torch.tensor([1.0, 0.0]).expand(1, 68, 2), torch.ones(68))) == \
        pytest.approx(1 / SIZE)  # fmt: skip


def test_brows_and_mouth_weigh_most() -> None:
    weights = landmark_weights()
    assert weights[[16, 17, 26, 27, 36, 47, 48, 67]].tolist() == [1, 100, 100, 1, 50, 50, 100, 100]


def test_equal_pictures_cost_nothing() -> None:
    image, mask = torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8)
    assert texture_loss(image, image, mask).abs() < 1e-6 and skin_loss(image, image, mask) == 0
    assert texture_loss(image, image + 1, mask) == pytest.approx(math.sqrt(3), rel=1e-4)
    assert texture_loss(image, image + 1, 0 * mask) == 0
    features = torch.randn(2, 5)
    assert identity_loss(features, 3 * features).abs() < 1e-6 and identity_loss(features, -features) == pytest.approx(2)


def test_the_guide_is_the_render_in_the_image() -> None:
    image, render = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    mask = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert guided(image, render, mask)[0, 0].tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_a_certain_class_costs_nothing_and_has_gradients_elsewhere() -> None:
    """The released code's loss of a certain class is 2.03."""
    labels = torch.tensor([[[3, 1], [0, 18]]])
    certain = F.one_hot(labels, 19).permute(0, 3, 1, 2).float()
    assert semantic_loss(certain, labels) < 1e-6
    even = torch.full((1, 19, 2, 2), 1 / 19).requires_grad_()
    loss = semantic_loss(even, labels)
    assert float(loss.detach()) == pytest.approx(math.log(19), rel=1e-4)
    (gradient,) = torch.autograd.grad(loss, even)
    assert gradient[0, 3, 0, 0] < 0 and gradient[0, 4, 0, 0] == 0
