import math
from dataclasses import fields

import pytest
import torch
from torch import Tensor, nn

from models.networks.stylegan2.resampling import resize
from models.training import augment
from models.training.augment import (
    PERSON,
    RELEASE,
    Augmentation,
    Operations,
    adjusted,
    color_matrices,
    inverse_maps,
    recolored,
)
from models.training.losses import r1_penalty
from tests.reference import largest_difference

OFF = {field.name: 0.0 for field in fields(Operations)}


def only(*names: str) -> Operations:
    return Operations(**{**OFF, **dict.fromkeys(names, 1.0)})


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.rand(count, 3, 32, 32) * 2 - 1, torch.rand(count, 3, 16, 16) * 2 - 1


def maps(p: float, *names: str, count: int = 4000) -> Tensor:
    return inverse_maps(count, (32, 64), p, source(), only(*names))


def test_without_probability_nothing_happens_bit_by_bit():
    image, raw = images()
    same_image, same_raw = Augmentation(RELEASE)(image, raw, source())
    assert same_image is image and same_raw is raw
    assert torch.equal(maps(0.0, *OFF), torch.eye(3).expand(4000, 3, 3))
    assert torch.equal(color_matrices(9, 0.0, source(), RELEASE), torch.eye(4).expand(9, 4, 4))


def test_without_operations_nothing_happens_either():
    image, _ = images()
    assert torch.equal(augment.augment(image, 1.0, source(), only())[0], image)


def test_the_same_numbers_give_the_same_images():
    image, raw = images()
    first, again, other = (Augmentation(RELEASE, p=0.8)(image, raw, source(seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == image.shape and first[1].shape == raw.shape


def test_both_images_move_and_change_color_together():
    image, _ = images()
    raw = resize(image, 16)
    augmentation = Augmentation(PERSON, p=1.0)
    moved, moved_raw = augmentation(nn.functional.avg_pool2d(image, 9, 1, 4), nn.functional.avg_pool2d(raw, 5, 1, 2), source())
    inner = slice(4, -4)
    assert largest_difference(resize(moved, 16)[..., inner, inner], moved_raw[..., inner, inner]) < 0.35
    same = augment.augment(torch.cat([image, image], 1), 1.0, source(), RELEASE)[0]
    assert torch.equal(same[:, :3], same[:, 3:])


@pytest.mark.parametrize(("name", "idle"), [("flip", 0.5), ("turn", 0.25), ("shift", 0.01), ("scale", 0.0), ("rotation", 0.0),
                                            ("stretch", 0.0), ("fraction", 0.0)])  # fmt: skip
def test_an_operation_happens_with_its_probability(name: str, idle: float):
    """`idle`: the share of happenings without effect; both rotations together happen with probability p."""
    for p in (0.3, 1.0):
        unchanged = (maps(p, name) == torch.eye(3)).flatten(1).all(1).float().mean().item()
        assert unchanged == pytest.approx(1 - p + p * idle, abs=0.03)


def test_maps_have_the_sizes_of_the_paper():
    assert maps(1.0, "flip")[:, 0, 0].unique().tolist() == [-1, 1]
    angle = torch.atan2(maps(1.0, "turn")[:, 1, 0], maps(1.0, "turn")[:, 0, 0]) / (math.pi / 2)
    assert sorted(angle.round().remainder(4).unique().tolist()) == [0, 1, 2, 3]
    shift = maps(1.0, "shift")[:, :2, 2]
    assert torch.equal(shift, shift.round()) and shift.abs().amax(0).tolist() == [8, 4]
    scale = maps(1.0, "scale")
    assert scale[:, 0, 0].log2().std().item() == pytest.approx(0.2, abs=0.01)
    assert torch.equal(scale[:, 0, 0], scale[:, 1, 1])
    stretch = maps(1.0, "stretch")
    assert largest_difference(stretch[:, 0, 0] * stretch[:, 1, 1], torch.ones(4000)) < 1e-5
    assert stretch[:, 0, 0].log2().std().item() == pytest.approx(0.2, abs=0.01)
    assert maps(1.0, "fraction")[:, :2, 2].std(0).tolist() == pytest.approx([8, 4], rel=0.05)
    turned = maps(1.0, "rotation")
    assert largest_difference(turned[:, :2, :2] @ turned[:, :2, :2].mT, torch.eye(2).expand(4000, 2, 2)) < 1e-5


def test_a_person_is_neither_flipped_nor_turned_nor_blue():
    matrix = inverse_maps(500, (32, 32), 1.0, source(), Operations(**{**vars(PERSON), "rotation": 0.0}))
    assert (matrix[:, 0, 0] > 0).all() and (matrix[:, 0, 1] == 0).all()
    gray = augment.GRAY
    colors = color_matrices(500, 1.0, source(), PERSON)[:, :3, :3]
    assert ((gray @ colors) @ gray > 0).all()
    assert largest_difference(colors, colors.mT) < 1e-5, "without hue a matrix is symmetric"


def painted(*color: float) -> Tensor:
    return torch.tensor(color).view(1, 3, 1, 1)


def by(matrix: Tensor, *color: float) -> list[float]:
    return recolored(painted(*color), augment._homogeneous(matrix))[0, :, 0, 0].tolist()


def test_colors_worked_numbers():
    one = torch.ones(1)
    assert by(augment.contrasting(2 * one), 0.1, 0.2, 0.3) == pytest.approx([0.2, 0.4, 0.6])
    assert by(augment.luma_flipping(one), 0.3, 0.3, 0.3) == pytest.approx([-0.3] * 3)
    assert by(augment.luma_flipping(one), 0.9, 0.0, 0.0) == pytest.approx([0.3, -0.6, -0.6])
    assert by(augment.luma_flipping(0 * one), 0.9, 0.1, 0.2) == pytest.approx([0.9, 0.1, 0.2])
    assert by(augment.hue_rotation(2 * math.pi / 3 * one), 0.5, 0.1, -0.2) == pytest.approx([-0.2, 0.5, 0.1], abs=1e-6)
    assert by(augment.hue_rotation(one), 0.4, 0.4, 0.4) == pytest.approx([0.4] * 3)
    assert by(augment.saturating(0 * one), 0.9, 0.0, 0.0) == pytest.approx([0.3] * 3)
    assert by(augment.saturating(2 * one), 0.4, 0.3, 0.2) == pytest.approx([0.5, 0.3, 0.1])


def test_brightness_comes_first_and_a_matrix_is_the_product():
    matrix = color_matrices(4000, 1.0, source(), only("brightness", "contrast"))
    factor, added = matrix[:, 0, 0], matrix[:, 0, 3]
    assert factor.log2().std().item() == pytest.approx(0.5, abs=0.03)
    assert (added / factor).std().item() == pytest.approx(0.2, abs=0.01)
    image = torch.rand(4000, 6, 2, 2)
    expected = (image + (added / factor).view(-1, 1, 1, 1)) * factor.view(-1, 1, 1, 1)
    assert largest_difference(recolored(image, matrix), expected) < 1e-5


@pytest.mark.parametrize(("name", "idle"), [("brightness", 0.0), ("contrast", 0.0), ("luma_flip", 0.5), ("hue", 0.0),
                                            ("saturation", 0.0)])  # fmt: skip
def test_a_color_changes_with_its_probability(name: str, idle: float):
    matrix = color_matrices(4000, 0.4, source(), only(name))
    same = (matrix - torch.eye(4)).abs().flatten(1).amax(1) < 1e-6
    assert same.float().mean().item() == pytest.approx(0.6 + 0.4 * idle, abs=0.03)


def test_r1_can_be_taken_in_front_of_it():
    """The gradient of |d D(A(x)) / dx|^2 with respect to D, against differences."""
    torch.manual_seed(0)
    image, raw = images(2)
    image, raw = image[..., :12, :12].double().requires_grad_(True), raw[..., :6, :6].double().requires_grad_(True)
    judge = nn.Sequential(nn.Conv2d(6, 4, 3), nn.Softplus(), nn.Flatten(), nn.LazyLinear(1)).double()

    def penalty() -> Tensor:
        moved, moved_raw = Augmentation(RELEASE, p=0.9)(image, raw, source(5))
        logits = judge(torch.cat([moved, resize(moved_raw, 12)], dim=1))
        return r1_penalty(logits, image, raw).sum()

    penalty().backward()
    weight = judge[0].weight
    assert isinstance(weight, nn.Parameter) and weight.grad is not None
    step, direction = 1e-5, torch.randn_like(weight)
    predicted = float((weight.grad * direction).sum())
    values = []
    for sign in (1, -1):
        weight.data += sign * step * direction
        values.append(float(penalty().detach()))
        weight.data -= sign * step * direction
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(predicted, rel=1e-4)


def test_adjusting_worked_numbers():
    assert adjusted(0.0, 0.8, 128) == pytest.approx(0.000256)
    assert adjusted(0.0, 0.2, 128) == 0
    assert adjusted(0.5, 0.2, 128, images=100_000) == pytest.approx(0.5 - 0.00128)
    assert adjusted(0.5, 0.6, 128) == 0.5


def test_the_probability_moves_every_fourth_batch():
    augmentation = Augmentation(RELEASE, target=0.6, images=1000)
    for _ in range(3):
        augmentation.note(8.0, 8)
        assert float(augmentation.p) == 0
    augmentation.note(-8.0, 8)
    assert float(augmentation.p) == 0, "a mean sign of 0.5 is below 0.6"
    for _ in range(4):
        augmentation.note(8.0, 8)
    assert float(augmentation.p) == pytest.approx(32 / 1000)
    fixed = Augmentation(RELEASE, p=0.2)
    for _ in range(8):
        fixed.note(8.0, 8)
    assert float(fixed.p) == pytest.approx(0.2) and not fixed.signs.any()
