from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.camera import Camera
from models.faceshop.codes import Coefficients, decoded, encoded, replaced
from models.faceshop.config import FACESHOP_SMALL, FACESHOP_UNIT, FaceShopConfig
from models.faceshop.discriminator import FaceShopDiscriminator
from models.faceshop.generator import FaceShop, FaceShopScene
from models.faceshop.pose import camera_at
from models.generator import Control, RenderSettings
from models.rendering.blending import Samples, blended, face_share
from tests.reference import largest_difference


@pytest.fixture
def generator() -> FaceShop:
    torch.manual_seed(0)
    network = FaceShop(FACESHOP_UNIT)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def codes(generator: FaceShop, count: int) -> Tensor:
    return torch.randn(count, generator.latent.z_dim, generator=torch.Generator().manual_seed(3))


def cameras(count: int) -> Camera:
    return camera_at(torch.tensor([[1.5, 1.4], [1.6, 1.8], [1.4, 1.2]])[:count], distance=2.0, focal=1.5)


def biases(generator: FaceShop) -> Tensor:
    """[19] of the classes."""
    bias = generator.decoder.mask_head.bias
    assert bias is not None
    return bias


def control_of(generator: FaceShop, z: Tensor) -> Control:
    return Control(ws=generator.mapping(z), code=z)


@torch.no_grad()
def test_a_picture_does_not_depend_on_its_batch(generator: FaceShop) -> None:
    z, camera = codes(generator, 3), cameras(3)
    together = generator.render(generator.prepare(control_of(generator, z)), camera)
    for row in range(3):
        alone = generator.render(generator.prepare(control_of(generator, z[[row]])), camera[row])
        for name in ("image", "raw", "depth", "alpha", "semantics"):
            ours, batch = getattr(alone, name), getattr(together, name)[[row]]
            assert largest_difference(ours, batch) < 1e-4, name


@torch.no_grad()
def test_classes_are_probabilities(generator: FaceShop) -> None:
    shown = generator.render(generator.prepare(control_of(generator, codes(generator, 2))), cameras(2))
    assert shown.semantics is not None and shown.semantics.shape == (2, 19, 16, 16)
    assert largest_difference(shown.semantics.sum(1), torch.ones(2, 16, 16)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("matte", ["soft", "hard"])
def test_a_field_of_background_has_no_alpha(generator: FaceShop, matte: str) -> None:
    """And the picture is what was put behind."""
    network = FaceShop(replace(FACESHOP_UNIT, matte=matte))
    network.load_state_dict(generator.state_dict())
    background = biases(network)[:1]
    background.fill_(1000.0)
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    scene = network.prepare(control_of(network, codes(network, 1)))
    shown = network.render(scene, cameras(1), RenderSettings(background=picture, raw_only=True, raw_size=32))
    assert not shown.alpha.any() and largest_difference(shown.raw, picture) < 1e-5
    background.fill_(-1000.0)
    shown = network.render(scene, cameras(1), RenderSettings(background=picture))
    assert shown.alpha.min() >= 0 and 0.1 < shown.alpha.max() <= 1 + 1e-5


@torch.no_grad()
def test_light_and_expression_are_those_of_the_code_with_them(generator: FaceShop) -> None:
    z = codes(generator, 2)
    light, expression = 0.5 * torch.randn(2, 27), torch.randn(2, 4)
    asked = replace(control_of(generator, z), illumination=light, deformation=expression)
    parts = replace_parts(decoded(generator.config, z), light=light, expression=expression)
    truth = generator.mapping(encoded(generator.config, parts))
    assert largest_difference(generator.latents(asked), truth) < 1e-5
    assert largest_difference(truth, asked.ws) > 1e-3
    same = replace(control_of(generator, z), illumination=decoded(generator.config, z).light)
    assert largest_difference(generator.latents(same), same.ws) < 1e-6
    moved = replace(asked, ws=asked.ws + 1)
    assert largest_difference(generator.latents(moved), truth + 1) < 1e-5
    assert torch.equal(asked[1:].illumination, light[1:]) and torch.equal(asked[1:].code, z[1:])  # pyright: ignore
    with pytest.raises(ValueError, match="which one ws were made of"):
        generator.prepare(Control(ws=asked.ws, illumination=light))


def replace_parts(given: Coefficients, **parts: Tensor) -> Coefficients:
    return replace(given, **parts)


def test_codes_go_round() -> None:
    config, z = FACESHOP_UNIT, torch.randn(2, FACESHOP_UNIT.z_dim)
    assert largest_difference(encoded(config, decoded(config, z)), z) < 1e-6
    assert decoded(config, z).expression[0, 0] == z[0, config.blocks["expression"].start] * 4
    changed = replaced(config, z, "light", torch.zeros(1, 27))
    assert torch.equal(changed[:, :-27], z[:, :-27]) and not changed[:, -27:].any()
    with pytest.raises(ValueError, match="27 numbers, not 9"):
        replaced(config, z, "light", torch.zeros(1, 9))


@torch.no_grad()
def test_a_wide_smile_shrinks_the_noise_only_officially(generator: FaceShop) -> None:
    free = FaceShop(replace(FACESHOP_UNIT, normalize_codes=False))
    z = codes(generator, 1)
    wide = replaced(FACESHOP_UNIT, z, "expression", 10 * z[:, FACESHOP_UNIT.blocks["expression"]])
    seen = [network._seen_code(code)[:, :4] for network in (free,) for code in (z, wide)]
    assert torch.equal(*seen) and seen[0].square().mean() == pytest.approx(1, abs=1e-4)
    louder = z.clone()
    louder[:, :4] *= 3
    assert largest_difference(free.mapping(louder), free.mapping(z)) < 1e-4
    assert largest_difference(generator.mapping(2 * z), generator.mapping(z)) < 1e-4, "officially all is one length"
    assert largest_difference(free.mapping(2 * z), free.mapping(z)) > 1e-3


@torch.no_grad()
def test_planes_do_not_change_with_the_camera(generator: FaceShop) -> None:
    z, aside = codes(generator, 1), camera_at(torch.tensor([[1.3, 1.9]])).label()
    assert not torch.equal(generator.mapping(z), generator.mapping(z, aside))
    frontal = camera_at(torch.tensor([[torch.pi / 2, torch.pi / 2]])).label()
    assert largest_difference(generator.mapping(z), generator.mapping(z, frontal)) < 1e-5


@torch.no_grad()
def test_points_are_the_scenes(generator: FaceShop) -> None:
    scene, points = generator.prepare(control_of(generator, codes(generator, 1))), torch.rand(1, 50, 3) - 0.5
    raw = scene.density(points)
    assert largest_difference(raw, scene.field(points)[1]) < 1e-4
    assert largest_difference(torch.nn.functional.softplus(raw - 1), scene.samples(points).density) < 1e-5


# Blending


def scenes(generator: FaceShop) -> tuple[FaceShopScene, FaceShopScene]:
    z = codes(generator, 1)
    moved = replaced(generator.config, z, "expression", torch.ones(1, 4))
    return generator.prepare(control_of(generator, z)), generator.prepare(control_of(generator, moved))


@torch.no_grad()
@pytest.mark.parametrize(("bias", "which"), [(1000.0, 1), (-1000.0, 0)])
def test_a_face_everywhere_moves_and_none_stays(generator: FaceShop, bias: float, which: int) -> None:
    """Bit by bit, but for what the super-resolution reads."""
    biases(generator)[[2, 3, 4, 5, 6, 10, 11, 12, 13]] = -1000.0
    biases(generator)[1] = bias
    both = scenes(generator)
    mixed, alone = (generator.render(one, cameras(1)) for one in (generator.blend(*both), both[which]))
    assert torch.equal(mixed.raw, alone.raw) and torch.equal(mixed.alpha, alone.alpha)


@torch.no_grad()
def test_one_still_head_serves_many_faces(generator: FaceShop) -> None:
    still, _ = scenes(generator)
    z = replaced(generator.config, codes(generator, 1).expand(3, -1), "expression", torch.randn(3, 4))
    moving = generator.prepare(control_of(generator, z))
    together = generator.render(generator.blend(still, moving), cameras(3))
    for row in range(3):
        one = generator.prepare(control_of(generator, z[[row]]))
        alone = generator.render(generator.blend(still, one), cameras(3)[row])
        assert largest_difference(alone.image, together.image[[row]]) < 1e-4


def test_blending_gives_the_face_to_the_moving_field() -> None:
    """And not, as the paper's equation reads, to the still one; skin of either is skin."""

    def field(value: float, *classes: int) -> Samples:
        likely = torch.nn.functional.one_hot(torch.tensor([classes]), 19).float()
        return Samples(features=torch.full((1, 3, 2), value), density=torch.full((1, 3), value), classes=likely)

    still, moving = field(0.0, 17, 1, 14), field(1.0, 1, 17, 14)
    mixed = blended(still, moving, face_share(still, moving))
    assert mixed.density.tolist() == [[1.0, 1.0, 0.0]] and mixed.features[0, :, 0].tolist() == [1.0, 1.0, 0.0]


# Discriminator


def test_the_discriminator_guesses_pose_and_code(generator: FaceShop) -> None:
    judge = FaceShopDiscriminator(FACESHOP_UNIT)
    shown = generator.render(generator.prepare(control_of(generator, codes(generator, 4))), cameras(3)[[0, 1, 2, 0]])
    verdict = judge(shown, cameras(3)[[0, 1, 2, 0]])
    assert verdict.pose is not None and verdict.latent is not None
    assert verdict.pose.shape == (4, 2) and verdict.latent.shape == (4, FACESHOP_UNIT.z_dim)


@pytest.mark.parametrize("config", [FACESHOP_SMALL, FACESHOP_UNIT])
def test_blocks_fill_the_code(config: FaceShopConfig) -> None:
    ends = [(part.start, part.stop) for part in config.blocks.values()]
    assert ends[0][0] == 0 and ends[-1][1] == config.z_dim
    assert all(before[1] == after[0] for before, after in zip(ends[:-1], ends[1:], strict=True))


def test_a_light_of_a_strange_size_is_refused() -> None:
    with pytest.raises(ValueError, match="nine spherical harmonics"):
        FaceShopConfig(light_dim=10)
