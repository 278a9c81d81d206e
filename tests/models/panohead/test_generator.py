import json
from dataclasses import asdict, replace

import pytest
import torch

from models.camera import Camera, centered_intrinsics, orbit
from models.compute_mode import EXACT, Compute
from models.generator import Control, Discriminator, Generator
from models.networks.dual_discriminator import MaskDiscriminator
from models.networks.stylegan2.resampling import resize
from models.panohead.config import PANOHEAD512, PANOHEAD_TINY128, PanoHeadConfig
from models.panohead.generator import PanoHead, shifted
from models.training.losses import mean_shift_penalty
from models.trigrid.generator import opacity
from tests.reference import largest_difference

UNIT = PanoHeadConfig(
    z_dim=8, w_dim=8, channel_base=128, channel_max=8, plane_resolution=64, plane_channels=4, decoder_hidden=8,
    decoder_features=4, image_size=32, neural_rendering_resolution=8, depth_resolution=6, depth_resolution_importance=6,
    superresolution="2X",
)  # fmt: skip


@pytest.fixture
def generator() -> PanoHead:
    torch.manual_seed(0)
    return PanoHead(UNIT)


def cameras(count: int) -> Camera:
    poses = orbit(torch.linspace(1.3, 4.0, count), 1.5, 2.7)
    return Camera(world_from_camera=poses, intrinsics=centered_intrinsics(3.0).expand(count, -1, -1))


def some_ws(generator: PanoHead, count: int) -> torch.Tensor:
    z = torch.randn(count, 8, generator=torch.Generator().manual_seed(5))
    return generator.mapping(z, cameras(1).label().expand(count, -1))


def test_it_is_a_generator_and_its_mask_can_be_judged(generator: PanoHead):
    family: Generator = generator
    judge: Discriminator = MaskDiscriminator(UNIT)
    rendering = family.render(family.prepare(Control(ws=some_ws(generator, 2))), cameras(2))
    assert family.latent.num_ws == 10 and family.image_size == 32
    assert rendering.image.shape == (2, 3, 32, 32)
    assert rendering.raw.shape == (2, 3, 8, 8)
    assert rendering.semantics is not None
    assert torch.allclose(rendering.semantics, 1.002 * rendering.alpha - 0.001)
    assert judge(rendering, cameras(2)).logits.shape == (2, 1)


def test_rendering_again_is_bit_identical_and_independent_of_the_batch(generator: PanoHead):
    ws = some_ws(generator, 2)
    first, again = (generator.synthesis(ws, cameras(2)).image for _ in range(2))
    assert torch.equal(first, again)
    assert largest_difference(first[1:], generator.synthesis(ws[1:], cameras(2)[1]).image) < 1e-5


def test_where_nothing_is_the_background_is_seen(generator: PanoHead):
    empty = PanoHead(replace(UNIT, cull_clouds=1.5))
    empty.load_state_dict(generator.state_dict())
    ws = some_ws(generator, 2)
    rendering = empty.synthesis(ws, cameras(2))
    expected = generator.torgb(resize(generator.background_features(ws), 8), ws[:, -1])
    assert not rendering.alpha.any()
    assert largest_difference(rendering.raw, expected) < 1e-6
    assert largest_difference(generator.background_image(ws), expected) < 1e-6


def test_a_neighbors_background_changes_only_what_is_behind(generator: PanoHead):
    solid = PanoHead(replace(UNIT, binarize_clouds=0.0, triplane_crop=0.0))
    solid.load_state_dict(generator.state_dict())
    ws = some_ws(generator, 2)
    for network, same in ((generator, False), (solid, True)):
        own = network.synthesis(ws, cameras(2))
        swapped = network.synthesis(ws, cameras(2), background_ws=ws.flip(0))
        assert torch.equal(own.alpha, swapped.alpha) and torch.equal(own.depth, swapped.depth)
        assert torch.allclose(own.raw, swapped.raw, atol=1e-5) is same


def test_clouds_are_thinned_at_the_opacity_of_one_unit(generator: PanoHead):
    assert opacity(torch.tensor([1.0])).item() == pytest.approx(0.5)
    points = (torch.rand(1, 500, 3) - 0.5) * torch.tensor([0.7, 1.0, 0.7])
    planes = generator.planes(some_ws(generator, 1))
    raw = generator.density_at(planes, points)[..., 0]
    middle = raw.flatten().sort().values[249:251].mean()
    limit = opacity(middle).item()
    for options, above in (({"cull_clouds": limit}, raw), ({"binarize_clouds": limit}, torch.tensor(1e3))):
        tidy = PanoHead(replace(UNIT, **options))
        tidy.load_state_dict(generator.state_dict())
        assert largest_difference(tidy.field(planes)(points)[1], torch.where(raw < middle, -1e3, above)) < 1e-4


def test_the_sides_of_the_box_are_empty(generator: PanoHead):
    planes, points = generator.planes(some_ws(generator, 1)), 0.45 * torch.eye(3)[None]
    density, raw = generator.field(planes)(points)[1], generator.density_at(planes, points)[..., 0]
    assert density[0].tolist() == pytest.approx([-1e3, raw[0, 1].item(), -1e3], abs=1e-4)


def test_density_noise_is_random_and_only_on_the_density(generator: PanoHead):
    planes, points = generator.planes(some_ws(generator, 1)), torch.rand(1, 2000, 3) * 0.4
    (features, quiet), (same, loud) = generator.field(planes)(points), generator.field(planes, density_noise=0.5)(points)
    assert torch.equal(features, same)
    assert (loud - quiet).std().item() == pytest.approx(0.5, rel=0.1)


def test_the_camera_moves_in_head_space_only_in_forward(generator: PanoHead):
    camera, shift = cameras(2), torch.tensor([[0.1, 0.2, 0.3], [0.0, 0.0, -0.5]])
    moved = shifted(camera, shift).label() - camera.label()
    assert torch.allclose(moved[:, [3, 7, 11]], shift, atol=1e-6)
    moved[:, [3, 7, 11]] = 0
    assert not moved.any()
    z = torch.randn(2, 8)
    plain = generator.synthesis(generator.mapping(z, camera.label()), camera)
    assert not torch.equal(generator(z, camera).image, plain.image)
    torch.nn.init.zeros_(generator.t_mapping.get_submodule("fc1").weight)  # type: ignore[arg-type]
    assert torch.equal(generator(z, camera).image, plain.image)


def test_every_parameter_learns(generator: PanoHead):
    z, camera = torch.randn(2, 8), cameras(2)
    loss = generator(z, camera).image.square().mean() + mean_shift_penalty(generator.camera_shift(z, camera))
    loss.backward()
    idle = {name for name, parameter in generator.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    assert idle == {f"superresolution.block{b}.conv{c}.noise_strength" for b in (0, 1) for c in (0, 1)}


def test_recomputing_gives_the_same_gradients(generator: PanoHead):
    ws, gradients = some_ws(generator, 2).detach(), []
    for compute in (EXACT, Compute(recompute=True)):
        generator.zero_grad()
        generator.synthesis(ws, cameras(2), compute=compute).image.square().mean().backward()
        gradients.append([parameter.grad for parameter in generator.parameters() if parameter.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 50
    for exact, again in zip(*gradients, strict=True):
        torch.testing.assert_close(again, exact)


def test_a_given_background_replaces_the_painted_one(generator: PanoHead):
    ws, gray = some_ws(generator, 1), torch.full((1, 3, 1, 1), 0.25)
    plain, replaced = generator.synthesis(ws, cameras(1)), generator.synthesis(ws, cameras(1), background=gray)
    expected = plain.raw * plain.alpha + 0.25 * (1 - plain.alpha)
    assert largest_difference(replaced.raw, expected) < 1e-5
    picture = generator.synthesis(ws, cameras(1), background=torch.rand(1, 3, 32, 32))
    assert picture.image.shape == plain.image.shape and not torch.equal(picture.image, plain.image)


def test_without_torgb_and_background_it_is_eg3d_with_a_tri_grid():
    config = replace(UNIT, use_torgb_raw=False, use_background=False, decoder_activation="sigmoid", cull_clouds=1.5)
    generator = PanoHead(config)
    assert not any(name.startswith(("torgb", "bcg_synthesis")) for name in generator.state_dict())
    assert (generator.synthesis(some_ws(generator, 1), cameras(1)).raw == -1).all(), "colors leave as 2 rgb - 1"


def test_conditioning_needs_a_camera_unless_it_is_off(generator: PanoHead):
    with pytest.raises(ValueError, match="pass the label of the frontal one"):
        generator.mapping(torch.randn(1, 8))
    assert PanoHead(replace(UNIT, c_gen_conditioning_zero=True)).mapping(torch.randn(1, 8)).shape == (1, 10, 8)


@pytest.mark.parametrize("config", [UNIT, PANOHEAD_TINY128, PANOHEAD512])
def test_a_config_survives_json(config: PanoHeadConfig):
    assert PanoHeadConfig(**json.loads(json.dumps(asdict(config)))) == config


def test_half_automatic_limits_are_refused():
    with pytest.raises(ValueError, match="either both are `auto` or none"):
        PanoHeadConfig(ray_start="auto", ray_end=3.3)
