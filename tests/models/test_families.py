"""What every family keeps, at the toy size that it offers itself; a new line in `models.families.MODULES` is tested with it."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from models.camera import Camera, centered_intrinsics, orbit
from models.compute_mode import Compute
from models.families import FAMILIES, MODULES, Family, UnknownFields
from models.generator import Control, Generator, RenderSettings, Scene
from models.image_sizes import IMAGE_SIZES
from models.latent_directions import Listener, reserve_directions
from models.rendering.sampling import Sampling
from tests.reference import largest_difference

HEADS, VIEWS = 2, 2


@pytest.fixture(params=[*FAMILIES, "balls"])
def family(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Family:
    """One of ours, or the stranger's of `tests.toy_family`."""
    monkeypatch.setitem(MODULES, "balls", "tests.toy_family")
    return FAMILIES[request.param]


@pytest.fixture
def generator(family: Family) -> Generator:
    return stirred(family, family.toy)


@pytest.fixture(params=["a prior", "a person"])
def learner(family: Family, request: pytest.FixtureRequest) -> Generator:
    """What is trained: a prior, or a person's network with the free parameters that it has besides."""
    person = family.personal(family.toy, paint=2, from_prior=True)
    return stirred(family, person if request.param == "a person" else family.toy)


def stirred(family: Family, config: Any) -> Generator:
    """A network none of whose parameters is 0, where gradients may vanish; many start there."""
    torch.manual_seed(0)
    generator = family.build(config)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return generator


def cameras(count: int) -> Camera:
    poses = orbit(torch.linspace(1.2, 1.9, count), torch.linspace(1.4, 1.7, count), 2.7)
    return Camera(world_from_camera=poses, intrinsics=centered_intrinsics(3.0).expand(count, -1, -1))


def latents(generator: Generator, count: int = HEADS) -> Tensor:
    z = torch.randn(count, generator.latent.z_dim, generator=torch.Generator().manual_seed(3))
    return generator.mapping(z, cameras(1).label().expand(count, -1))


def scene_of(generator: Generator, count: int = HEADS) -> Scene:
    return generator.prepare(Control(ws=latents(generator, count)))


def test_the_table_and_the_networks_agree_on_the_name(family: Family, generator: Generator) -> None:
    assert FAMILIES[family.name] is family and generator.family == family.name
    assert isinstance(generator, Generator) and generator.config == family.toy and isinstance(family.toy, family.config)
    assert sum(parameter.numel() for parameter in generator.parameters()) < 100_000, "a toy builds and trains in no time"
    assert family.toy.box_size > 0, "pipelines.train.framing asks how large the volume is"


def test_pictures_have_their_sizes(generator: Generator) -> None:
    shown = generator.render(scene_of(generator), cameras(HEADS))
    size, raw = generator.image_size, generator.raw_size
    assert shown.image.shape == (HEADS, 3, size, size) and shown.raw.shape == (HEADS, 3, raw, raw)
    assert shown.depth.shape == shown.alpha.shape == (HEADS, 1, raw, raw)
    assert all(values.isfinite().all() for values in (shown.image, shown.raw, shown.depth, shown.alpha))
    assert shown.alpha.min() >= -1e-5 and shown.alpha.max() <= 1 + 1e-5


def test_latents_have_their_sizes_and_a_running_mean(generator: Generator) -> None:
    ws, spec = latents(generator), generator.latent
    assert ws.shape == (HEADS, spec.num_ws, spec.w_dim) and generator.mean_latent.shape == (spec.w_dim,)
    before = generator.mean_latent.clone()
    generator.track(ws[:, 0])
    assert not torch.equal(generator.mean_latent, before)
    mean = generator.mapping(torch.randn(1, spec.z_dim), cameras(1).label(), truncation=0.0)
    assert largest_difference(mean, generator.mean_latent.expand_as(mean)) < 1e-6


def test_a_scene_answers_at_points(generator: Generator) -> None:
    scene = scene_of(generator)
    points = (torch.rand(HEADS, 50, 3) - 0.5) * 0.2 * scene.box_size
    colors, density = scene.field(points)
    assert colors.shape[:2] == density.shape == scene.density(points).shape == (HEADS, 50)
    assert scene.control.ws.shape[0] == HEADS and scene.box_size > 0


@torch.no_grad()
def test_two_views_of_a_scene_are_two_fresh_renders(generator: Generator) -> None:
    scene, camera = scene_of(generator), cameras(HEADS * VIEWS)
    together = generator.render(scene, camera)
    for view in range(VIEWS):
        rows = list(range(view, HEADS * VIEWS, VIEWS))
        apart, again = (generator.render(one, camera[rows]) for one in (scene, scene_of(generator)))
        assert torch.equal(apart.image, again.image)
        assert largest_difference(together.image[rows], apart.image) < 1e-5


@torch.no_grad()
def test_some_rays_are_those_of_all(generator: Generator) -> None:
    scene, camera, size = scene_of(generator), cameras(HEADS), generator.raw_size
    gray = torch.zeros(1, 3, 1, 1)
    how = RenderSettings(sampling=generator.config.sampling(), background=gray, raw_only=True)
    rays = torch.stack([torch.randperm(size**2)[:40] for _ in range(HEADS)])
    whole, some = generator.render(scene, camera, how), generator.render(scene, camera, replace(how, rays=rays))
    marched = torch.zeros(HEADS, size**2).scatter(1, rays, 1.0).view(HEADS, 1, size, size)
    for every, chosen in ((whole.raw, some.raw), (whole.alpha, some.alpha), (whole.depth, some.depth)):
        assert largest_difference(chosen * marched, every * marched) < 1e-5
    assert not (some.alpha * (1 - marched)).any()


@torch.no_grad()
def test_pictures_may_share_a_first_pass(generator: Generator) -> None:
    """Which families do so is their own; views and heads keep out of each other's pictures, and little changes."""
    scene, camera = scene_of(generator), cameras(HEADS * VIEWS)
    how = RenderSettings(sampling=replace(generator.config.sampling(), stride=2), background=torch.zeros(1, 3, 1, 1))
    plain, shared = (
        generator.render(scene, camera, replace(how, sampling=generator.config.sampling())),
        generator.render(scene, camera, how),
    )
    assert (plain.alpha - shared.alpha).abs().mean() < 0.08 and (plain.raw - shared.raw).abs().mean() < 0.08
    for head in range(HEADS):
        rows = slice(head * VIEWS, (head + 1) * VIEWS)
        alone = generator.prepare(Control(ws=latents(generator)[head : head + 1]))
        assert largest_difference(generator.render(alone, camera[rows], how).image, shared.image[rows]) < 1e-4


@torch.no_grad()
def test_a_raw_image_is_that_of_the_whole_picture(generator: Generator) -> None:
    scene, camera = scene_of(generator), cameras(HEADS)
    gray = torch.zeros(1, 3, 1, 1)
    whole = generator.render(scene, camera, RenderSettings(background=gray))
    raw = generator.render(scene, camera, RenderSettings(background=gray, raw_only=True))
    assert torch.equal(raw.image, raw.raw) and largest_difference(raw.raw, whole.raw) < 1e-5


@torch.no_grad()
def test_a_background_lies_behind(generator: Generator) -> None:
    scene, camera = scene_of(generator), cameras(HEADS)
    black, white = (
        generator.render(scene, camera, RenderSettings(background=torch.full((1, 3, 1, 1), gray))) for gray in (-1.0, 1.0)
    )
    assert torch.equal(black.alpha, white.alpha) and (black.alpha < 0.9).any()
    assert largest_difference(white.raw - black.raw, (2 * (1 - black.alpha)).expand_as(black.raw)) < 1e-5
    assert (white.image >= black.image - 1e-5).all() and not torch.equal(white.image, black.image)


@torch.no_grad()
def test_render_settings_are_kept_to(generator: Generator) -> None:
    scene, camera, half = scene_of(generator), cameras(HEADS), generator.raw_size // 2
    plain = generator.render(scene, camera)
    few = generator.render(scene, camera, RenderSettings(sampling=Sampling(coarse=3, fine=0, jitter="mid")))
    assert not torch.equal(plain.alpha, few.alpha)
    small = generator.render(scene, camera, RenderSettings(raw_size=half))
    assert small.raw.shape[2:] == small.alpha.shape[2:] == (half, half) and small.image.shape == plain.image.shape
    patch = generator.render(scene, camera, RenderSettings(raw_size=half, patch=True))
    assert patch.image.shape[-1] * 2 == generator.image_size


@torch.no_grad()
def test_a_frozen_backbone_is_the_backbone(generator: Generator) -> None:
    ws, camera = latents(generator, 1), cameras(1)
    plain = generator.prepare(Control(ws=ws))
    frozen = generator.prepare(Control(ws=ws), frozen=generator.backbone_share(ws))
    assert torch.equal(generator.render(plain, camera).image, generator.render(frozen, camera).image)
    others = generator.prepare(Control(ws=ws), frozen=generator.backbone_share(2 * ws + 1))
    assert not torch.equal(generator.render(plain, camera).image, generator.render(others, camera).image)


def test_recomputing_changes_nothing(generator: Generator) -> None:
    again = Compute(recompute=True)
    pictures = [
        generator.render(generator.prepare(Control(ws=latents(generator)), compute=compute), cameras(HEADS), RenderSettings())
        for compute in (Compute(), again)
    ]
    assert torch.equal(pictures[0].image, pictures[1].image)


def test_every_parameter_has_one_role(learner: Generator) -> None:
    groups = learner.groups()
    together = [id(parameter) for parameters in groups.values() for parameter in parameters]
    assert sorted(together) == sorted(id(parameter) for parameter in learner.parameters())
    assert all(groups.values()) and {"backbone", "mapping"} <= set(groups)


def test_gradients_reach_every_role_and_parameter(learner: Generator) -> None:
    scene = scene_of(learner)
    random = Sampling(coarse=6, fine=6, jitter="random", generator=torch.Generator().manual_seed(0))
    shown = learner.render(scene, cameras(HEADS), RenderSettings(sampling=random))
    (shown.image.square().sum() + shown.raw.square().sum() + shown.alpha.square().sum()).backward()
    names = {id(parameter): name for name, parameter in learner.named_parameters()}
    for role, parameters in learner.groups().items():
        if role != "pose":
            assert any(parameter.grad is not None and parameter.grad.any() for parameter in parameters), role
            silent = {names[id(one)] for one in parameters if one.grad is None or (role != "mapping" and not one.grad.any())}
            assert all(name.endswith("noise_strength") for name in silent), f"{role}: {silent}"


def test_a_state_goes_round(family: Family, generator: Generator) -> None:
    other = family.build(family.toy)
    other.load_state_dict(generator.state_dict(), strict=True)
    pictures = [one.render(scene_of(one), cameras(HEADS)).image for one in (generator, other)]
    assert torch.equal(*pictures)


def test_a_config_goes_through_json(family: Family) -> None:
    for config in (family.toy, *family.presets.values()):
        assert family.decode(json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(UnknownFields, match="no_such_field"):
        family.decode({"no_such_field": 1})


def test_discriminators_judge_what_the_generator_shows(family: Family, generator: Generator) -> None:
    camera = cameras(4)
    shown = generator.render(scene_of(generator, 4), camera)
    judges = family.discriminators(family.toy)
    assert judges and all(judge.weight > 0 for judge in judges.values())
    for judge in judges.values():
        verdict = judge.network(shown, camera, torch.Generator().manual_seed(0))
        logits, pose = verdict.logits, verdict.pose
        assert logits.shape == (4, 1) and judge.network.group_size >= 1
        assert shown.semantics is not None or not judge.network.needs_mask
        (moved,) = torch.autograd.grad(logits.sum(), shown.raw, retain_graph=True)
        assert moved.any(), "the generator learns nothing from it"
        assert pose is None or pose.shape[0] == 4
        (logits.sum() if pose is None else logits.sum() + pose.sum()).backward(retain_graph=True)
        assert all(parameter.grad is not None for parameter in judge.network.parameters())
        assert judge.crop is None or 0 <= judge.crop[0] < judge.crop[2] <= 1 and 0 <= judge.crop[1] < judge.crop[3] <= 1
        judge.network.load_state_dict(judge.network.state_dict(), strict=True)


def test_regularizers_have_gradients(family: Family, generator: Generator) -> None:
    for regularizer in family.regularizers.values():
        loss = regularizer(scene_of(generator), torch.Generator().manual_seed(0))
        gradients = torch.autograd.grad(loss, list(generator.parameters()), allow_unused=True)
        assert loss.ndim == 0 and any(gradient is not None and gradient.any() for gradient in gradients)


def test_one_persons_network_sees_no_camera(family: Family) -> None:
    personal = family.personal(family.toy, paint=2, from_prior=True)
    generator = family.build(personal)
    z = torch.randn(1, generator.latent.z_dim)
    ws = generator.mapping(z)
    assert torch.equal(ws, generator.mapping(z, cameras(1).label()))
    assert generator.render(generator.prepare(Control(ws=ws)), cameras(1)).image.isfinite().all()


@pytest.mark.parametrize("size", list(IMAGE_SIZES))
def test_other_sizes_build(family: Family, size: int) -> None:
    config = family.resized(family.toy, size)
    with torch.device("meta"):
        generator, judges = family.build(config), family.discriminators(config)
    assert generator.image_size == size and judges
    assert family.resized(config, size) is config


@pytest.mark.parametrize("changes", [{"from_prior": True, "size": None}, {"from_prior": True, "size": 128}])
def test_a_priors_weights_fit_a_person(family: Family, generator: Generator, changes: dict[str, Any]) -> None:
    size = changes["size"] or family.toy.image_size
    config = family.personal(family.resized(family.toy, size), paint=1, from_prior=True)
    person = family.build(config)
    state = family.transfer(generator.state_dict(), person.state_dict(), resized=size != family.toy.image_size)
    person.load_state_dict(state, strict=True)
    kept = {name: value for name, value in generator.state_dict().items() if torch.equal(person.state_dict()[name][: len(value)]
            if value.ndim else person.state_dict()[name], value)}  # fmt: skip
    assert len(kept) > len(generator.state_dict()) / 2


@torch.no_grad()
def test_freed_directions_are_heard_by_a_persons_own_outputs_alone(generator: Generator) -> None:
    """Families without a person's own parameters may name no layers: nothing is freed in them."""
    size, layers = generator.latent.w_dim, generator.listeners()
    person, room = torch.randn(size), torch.linalg.qr(torch.randn(size, 2)).Q.T
    before = [answer(listener, person) for listener in layers]
    reserve_directions(layers, room, person)
    for listener, value in zip(layers, before, strict=True):
        others = len(value) - listener.own
        moved = answer(listener, person + 3 * room[0])[:others]
        torch.testing.assert_close(answer(listener, person)[:others], value[:others], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(moved, value[:others], atol=1e-4, rtol=1e-4)


def answer(listener: Listener, w: Tensor) -> Tensor:
    layer = listener.layer
    return layer.weight @ w * layer.weight_gain + layer.bias * layer.bias_gain
