import json
from dataclasses import asdict, replace

import pytest
import torch

from models.camera import Camera, orbit
from models.compute_mode import EXACT, Compute
from models.eg3d.config import FFHQ512, QUICK, TINY128, UNIT, EG3DConfig
from models.eg3d.generator import EG3D
from models.generator import Control, Discriminator, Generator, RenderSettings
from models.networks.dual_discriminator import DualDiscriminator
from models.rendering.compositing import over
from models.rendering.sampling import Sampling
from models.training.losses import density_smoothness
from tests.reference import largest_difference


@pytest.fixture
def generator() -> EG3D:
    torch.manual_seed(0)
    return EG3D(UNIT)


def cameras(count: int) -> Camera:
    frontal = Camera.frontal(2.7, 3.0)
    poses = orbit(torch.linspace(1.3, 1.8, count), 1.5, 2.7)
    return Camera(world_from_camera=poses, intrinsics=frontal.intrinsics.expand(count, -1, -1))


def some_ws(generator: EG3D, count: int) -> torch.Tensor:
    return generator.mapping(torch.randn(count, generator.latent.z_dim, generator=torch.Generator().manual_seed(5)))


def test_it_is_a_generator_with_a_discriminator(generator: EG3D):
    family: Generator = generator
    judge: Discriminator = DualDiscriminator(UNIT)
    ws = some_ws(generator, 2)
    assert ws.shape == (2, family.latent.num_ws, family.latent.w_dim)
    rendering = family.render(family.prepare(Control(ws=ws)), cameras(2))
    assert rendering.image.shape == (2, 3, family.image_size, family.image_size)
    assert rendering.raw.shape == (2, 3, 16, 16)
    assert rendering.depth.shape == rendering.alpha.shape == (2, 1, 16, 16)
    assert judge(rendering, cameras(2)).logits.shape == (2, 1)


def test_rendering_again_is_bit_identical(generator: EG3D):
    ws = some_ws(generator, 2)
    first, again = (generator.synthesis(ws, cameras(2)) for _ in range(2))
    assert torch.equal(first.image, again.image)
    gradients = []
    for _ in range(2):
        generator.zero_grad()
        generator.synthesis(ws.detach(), cameras(2)).image.square().mean().backward()
        gradients.append([None if p.grad is None else p.grad.clone() for p in generator.parameters()])
    assert all(first is None or torch.equal(first, again) for first, again in zip(*gradients, strict=True))


def test_a_subset_of_the_rays_is_the_same_as_in_the_whole_image(generator: EG3D):
    ws, camera = some_ws(generator, 2), cameras(2)
    sampling = Sampling(coarse=6, fine=6)
    whole = generator.synthesis(ws, camera, sampling=sampling)
    origins, directions = camera.rays(16)
    chosen = torch.tensor([3, 77, 200])
    features, depth, alpha = generator.render_rays(
        generator.planes(ws), origins[:, chosen], directions[:, chosen], sampling=sampling
    )
    assert largest_difference(features[..., :3].mT, whole.raw.flatten(2)[..., chosen]) < 1e-5
    assert largest_difference(depth.mT, whole.depth.flatten(2)[..., chosen]) < 1e-5
    assert largest_difference(alpha.mT, whole.alpha.flatten(2)[..., chosen]) < 1e-5


def test_an_image_does_not_depend_on_its_batch(generator: EG3D):
    ws, camera = some_ws(generator, 3), cameras(3)
    assert largest_difference(generator.synthesis(ws, camera).image[1:2], generator.synthesis(ws[1:2], camera[1]).image) < 1e-5


def test_a_fresh_network_starts_as_a_head_in_front_of_nothing():
    torch.manual_seed(0)
    generator = EG3D(QUICK)
    with torch.no_grad():
        alpha = generator.synthesis(some_ws(generator, 1), Camera.frontal(2.7, 2.7 / 0.85)).alpha[0, 0]
    assert alpha[32, 32] > 0.95
    assert alpha[:, 0].max() < 0.05
    assert 0.2 < (alpha > 0.5).float().mean() < 0.6


def test_a_background_is_put_behind_both_images(generator: EG3D):
    ws, camera = some_ws(generator, 1), cameras(1)
    plain = generator.synthesis(ws, camera)
    gray = generator.synthesis(ws, camera, background=torch.zeros(1, 3, 1, 1))
    assert torch.equal(gray.image, over(plain.image, plain.alpha, torch.zeros(1)))
    assert torch.equal(gray.raw, plain.raw + (1 - plain.alpha))
    picture = generator.synthesis(ws, camera, background=torch.rand(1, 3, 32, 32))
    assert picture.image.shape == plain.image.shape
    assert (picture.raw - plain.raw).abs().amax() > 0


def test_a_background_is_shrunk_without_moire(generator: EG3D):
    """Stripes of which a plain lookup at every fourth pixel would see the bright ones alone are gray in the raw image."""
    scene, camera = generator.prepare(Control(ws=some_ws(generator, 1))), cameras(1)
    stripes = torch.tensor([-1.0, 1.0, 1.0, -1.0]).repeat(8).expand(1, 3, 32, 32)
    plain = generator.render(scene, camera, RenderSettings(raw_size=8, raw_only=True))
    striped = generator.render(scene, camera, RenderSettings(raw_size=8, raw_only=True, background=stripes))
    gray = over(plain.raw, plain.alpha, torch.zeros(1))
    assert (1 - plain.alpha).amax() > 0.5
    assert largest_difference(striped.raw[..., 1:-1], gray[..., 1:-1]) < 1e-5


def test_planes_are_static_plus_a_share_of_the_backbone(generator: EG3D):
    torch.nn.init.normal_(generator.static_planes)
    torch.nn.init.zeros_(generator.basis_planes)
    ws = some_ws(generator, 2)
    expected = generator.static_planes + 0.3 * generator.backbone.synthesis(ws, "const")
    assert largest_difference(generator.planes(ws).flatten(1, 2), expected) < 1e-6
    assert "static_planes" not in EG3D(replace(UNIT, static_planes=False)).state_dict()


def test_basis_planes_are_linear_in_w() -> None:
    generator = EG3D(replace(UNIT, dynamic_gain=0.0))
    torch.nn.init.normal_(generator.basis_planes)
    ws = torch.randn(2, 1, UNIT.w_dim).expand(-1, generator.latent.num_ws, -1)
    one, other = generator.planes(ws)
    between = generator.planes(ws.mean(0, keepdim=True))[0]
    assert (one - other).abs().mean() > 0.1
    torch.testing.assert_close(between, (one + other) / 2, atol=1e-5, rtol=1e-4)


def test_the_back_plane_changes_only_what_is_behind() -> None:
    generator = EG3D(replace(UNIT, back_plane=True))
    planes = generator.planes(some_ws(generator, 2))
    points = torch.rand(2, 200, 3) - 0.5
    before, _ = generator.field(planes)(points)
    torch.nn.init.normal_(generator.back_plane)
    after, _ = generator.field(planes)(points)
    changed, z = (after - before).abs().amax(-1), points[..., 2]
    assert changed[z > 0.3].max() < 1e-3 < 0.02 < changed[z < -0.05].mean()
    before = generator.field(planes)(points)[0]
    checked = torch.tensor([1.0, -1.0]).repeat(16)
    planes = planes.detach().clone()
    planes[:, 0] += 8 * checked * checked[:, None]  # of fine detail in (x,y) nothing is heard behind
    changed = (generator.field(planes)(points)[0] - before).abs().amax(-1)
    assert changed[z < -0.3].max() < 1e-3 < 0.02 < changed[z > 0.05].mean()
    after.sum().backward()
    assert generator.back_plane.grad is not None and generator.back_plane.grad.any()
    assert "back_plane" not in EG3D(UNIT).state_dict()


def test_every_parameter_learns(generator: EG3D):
    z = torch.randn(2, 8)
    generator.synthesis(generator.mapping(z), cameras(2)).image.square().mean().backward()
    idle = {name for name, parameter in generator.named_parameters() if parameter.grad is None or not parameter.grad.any()}
    noise = {name for name in idle if name.startswith("superresolution") and name.endswith("noise_strength")}
    assert len(noise) == 4
    assert idle - noise == {"backbone.mapping.embed.weight"}, "the label is zero; the noise of super-resolution is off"


def test_density_is_the_density_of_the_field(generator: EG3D):
    planes, points = generator.planes(some_ws(generator, 1)), torch.rand(1, 20, 3) - 0.5
    density = generator.density_at(planes, points)
    assert density.shape == (1, 20, 1)
    assert largest_difference(density[..., 0], generator.field(planes)(points)[1]) < 1e-4
    assert density_smoothness(density, density).item() == 0


def test_the_density_gain_multiplies_what_the_decoder_says(generator: EG3D):
    loud = EG3D(replace(UNIT, density_gain=5.0, density_prior=None))
    loud.load_state_dict(generator.state_dict())
    planes, points = generator.planes(some_ws(generator, 1)), torch.rand(1, 20, 3) - 0.5
    prior = UNIT.density_prior
    assert prior is not None
    plain = generator.density_at(planes, points)[..., 0] - prior(points)
    assert largest_difference(loud.density_at(planes, points)[..., 0], 5 * plain) < 1e-4


def test_conditioning_needs_a_camera_unless_it_is_off(generator: EG3D):
    z = torch.randn(2, 8)
    assert torch.equal(generator.mapping(z), generator.mapping(z, cameras(2).label()))
    conditioned = EG3D(replace(UNIT, c_gen_conditioning_zero=False))
    with pytest.raises(ValueError, match="pass the label of the frontal one"):
        conditioned.mapping(z)
    label = cameras(2).label()
    assert not torch.equal(conditioned.mapping(z, label)[0], conditioned.mapping(z, label.flip(0))[0])


def test_the_raw_image_keeps_the_first_torgb_only_in_compatibility(generator: EG3D):
    old = EG3D(replace(UNIT, compat_inplace_raw=True))
    old.load_state_dict(generator.state_dict())
    ws, camera = some_ws(generator, 1), cameras(1)
    ours, theirs = generator.synthesis(ws, camera), old.synthesis(ws, camera)
    assert torch.equal(ours.image, theirs.image)
    assert not torch.equal(ours.raw, theirs.raw)


@pytest.mark.parametrize("config", [UNIT, QUICK, TINY128, FFHQ512])
def test_a_config_survives_json(config: EG3DConfig):
    assert EG3DConfig(**json.loads(json.dumps(asdict(config)))) == config


def test_half_automatic_limits_are_refused():
    with pytest.raises(ValueError, match="either both are `auto` or none"):
        EG3DConfig(ray_start="auto", ray_end=3.3)


def test_the_light_memory_mode_has_the_same_gradients(generator: EG3D):
    ws, camera = some_ws(generator, 1), cameras(1)
    gradients = []
    for compute in (EXACT, Compute(recompute=True)):
        generator.zero_grad()
        generator.synthesis(ws.detach(), camera, compute=compute).image.square().sum().backward()
        gradients.append({name: p.grad.clone() for name, p in generator.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(largest_difference(gradients[0][name], gradients[1][name]) < 1e-4 for name in gradients[0])


@torch.no_grad()
def test_half_precision_is_a_rounding_of_the_image(generator: EG3D):
    ws, camera = some_ws(generator, 1), cameras(1)
    exact, rough = (generator.synthesis(ws, camera, compute=how).image for how in (EXACT, Compute(dtype=torch.bfloat16)))
    assert rough.dtype == torch.float32
    assert 0 < (exact - rough).square().mean().sqrt() * 127.5 < 2


@torch.no_grad()
def test_one_image_is_the_same_as_in_a_batch(generator: EG3D):
    """A single large image scales its weights, a batch its activations."""
    ws, camera = some_ws(generator, 3), cameras(3)
    whole = generator.synthesis(ws, camera).image
    for number in range(3):
        alone = generator.synthesis(ws[number : number + 1], camera[torch.tensor([number])]).image
        assert largest_difference(alone, whole[number : number + 1]) < 1e-4
