"""PanoHead against the official vectors, and whole against its formulas (spec 1.17) written out on tests/plain.py."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera, centered_intrinsics, orbit
from models.eg3d.config import TINY128
from models.generator import Rendering
from models.networks.dual_discriminator import DualDiscriminator, MaskBranchDiscriminator, MaskDiscriminator
from models.panohead.config import PANOHEAD512, PANOHEAD_TINY128, PanoHeadConfig
from models.panohead.generator import PanoHead
from models.rendering.compositing import composite, expected_depth, interval_weights, sample_weights
from models.rendering.sampling import Sampling
from models.trigrid.config import TrigridConfig
from models.trigrid.generator import opacity
from tests import plain
from tests.material import shared
from tests.reference import Tensors, golden_case, largest_difference, official_names, recipe_state

EXACT = PANOHEAD_TINY128.sampling("none")


@pytest.fixture(scope="module")
def state() -> Tensors:
    return recipe_state(official_names("panohead128", "G."))


@pytest.fixture(scope="module")
def generator(state: Tensors) -> PanoHead:
    return loaded(PANOHEAD_TINY128, state)


@pytest.fixture(scope="module")
def ws(generator: PanoHead) -> Tensor:
    """Another w for each layer, so that a layer that reads the wrong one shows."""
    z = torch.randn(2 * 14, 32, generator=torch.Generator().manual_seed(3))
    return generator.mapping(z, label().repeat(14, 1))[:, 0].detach().view(2, 14, -1)


def loaded(config: PanoHeadConfig, state: Tensors) -> PanoHead:
    generator = PanoHead(config)
    generator.load_state_dict(state, strict=True)
    return generator


def label() -> Tensor:
    """A frontal camera and one from behind."""
    poses = orbit(torch.tensor([math.pi / 2, -0.9]), 1.4, 2.7)
    return Camera(world_from_camera=poses, intrinsics=centered_intrinsics(4.2647).expand(2, -1, -1)).label()


# Official names, sizes and operations


@pytest.mark.parametrize(("prefix", "network"), [("G.", PanoHead), ("D.", MaskDiscriminator)])
def test_names_and_shapes_are_the_official_ones(prefix: str, network: type[PanoHead] | type[MaskDiscriminator]):
    ours = {name: tuple(value.shape) for name, value in network(PANOHEAD_TINY128).state_dict().items()}
    assert ours == official_names("panohead128", prefix)


def test_the_full_size_has_as_many_parameters_as_the_official_one():
    with torch.device("meta"):
        generator, discriminator = PanoHead(PANOHEAD512), MaskDiscriminator(PANOHEAD512)
    expected = {
        generator: 53_741_548, generator.backbone.synthesis: 28_774_125, generator.backbone.mapping: 800_768,
        generator.bcg_synthesis: 22_494_667, generator.t_mapping: 1_638, generator.decoder: 4_257, generator.torgb: 16_515,
        generator.superresolution: 1_649_578, discriminator: 31_359_808,
    }  # fmt: skip
    assert {part: sum(parameter.numel() for parameter in part.parameters()) for part in expected} == expected
    assert (generator.latent.num_ws, generator.bcg_synthesis.num_ws) == (14, 12)


def test_features_are_composited_unscaled_as_officially():
    inputs, outputs = golden_case("panohead_ops", "march")
    depths = inputs["depths"][..., 0]
    weights = interval_weights(inputs["densities"][..., 0], depths)
    samples = sample_weights(weights)
    color, _ = composite(inputs["colors"], samples, signed=False)
    low, high = (limit.expand(2, 7, 1) for limit in (depths.min(), depths.max()))
    assert largest_difference(color, outputs["rgb"]) < 1e-5
    assert largest_difference(weights, outputs["weights"][..., 0]) < 1e-6
    assert largest_difference(expected_depth(samples, depths, low, high), outputs["depth"]) < 1e-5


def test_clouds_are_culled_as_officially():
    inputs, outputs = golden_case("panohead_ops", "cull_clouds_mask")
    assert torch.equal(opacity(inputs["density"]) < 0.5, outputs["mask"])


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("crop_default", {}),
        ("crop0", {"triplane_crop": 0.0}),
        ("cull", {"cull_clouds": 0.5}),
        ("binarize", {"binarize_clouds": 0.5}),
        ("given_u", {}),
    ],
)
@torch.no_grad()
def test_rays_are_rendered_as_officially(case: str, options: dict[str, float]):
    inputs, outputs = golden_case(str(shared("goldens/eg3d/panohead_ops.npz").with_suffix("")), f"render_{case}")
    generator = PanoHead(replace(PANOHEAD_TINY128, plane_resolution=16, **options))
    generator.decoder.load_state_dict({name[3:]: value for name, value in inputs.items() if name.startswith("sd.")})
    sampling = EXACT
    if case == "given_u":
        sampling = Sampling(coarse=12, fine=12, u_coarse=inputs["u_coarse"][..., 0], u_fine=inputs["u_fine"].view(2, 64, 12))
    rays = Camera.from_label(inputs["c"]).rays(8)
    features, depth, alpha = generator.render_rays(inputs["planes"], *rays, sampling=sampling)
    assert largest_difference(features, outputs["feat"]) < 5e-4
    assert largest_difference(depth, outputs["depth"]) < 5e-4
    assert largest_difference(alpha, outputs["weight_total"]) < 5e-4


# The whole network as its formulas read


def plain_grid_features(planes: Tensor, points: Tensor, depth: int) -> Tensor:
    """[B,M,C] mean over (x,y|z), (x,z|y), (y,z|x) of planes [B,3,C*D,H,W] at points [B,M,3] of a unit box."""
    total = torch.zeros(())
    for plane, order in zip(planes.unbind(1), ([0, 1, 2], [0, 2, 1], [1, 2, 0]), strict=True):
        where = (2 * points)[:, None, None, :, order]
        volume = plane.unflatten(1, (-1, depth))
        total = total + F.grid_sample(volume, where, align_corners=False)[:, :, 0, 0].mT / 3
    return total


def plain_render(state: Tensors, planes: Tensor, label: Tensor, size: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features [B,N,C], depth, total weight of twice `count` samples between 2.25 and 3.3, sorted with their features."""
    origins, directions = plain.rays(label, size)

    def evaluate(depths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        points = (origins[:, :, None] + depths * directions[:, :, None]).flatten(1, 2)
        x = plain_grid_features(planes, points, 3).flatten(0, 1)
        x = F.softplus(plain.fully_connected(state, "decoder.net.0", x))
        x = plain.fully_connected(state, "decoder.net.2", x).view(len(label), -1, 33)
        side = (points[..., 0].abs() > 0.4) | (points[..., 2].abs() > 0.4)
        density = x[..., :1].masked_fill(side[..., None], -1000)
        return depths, x[..., 1:].unflatten(1, depths.shape[1:3]), density.unflatten(1, depths.shape[1:3])

    uniforms = plain.exact_uniforms(len(label), size**2, count, count)
    near, far = (torch.full_like(origins[..., :1], limit) for limit in (2.25, 3.3))
    depths, colors, densities = evaluate(plain.stratified(near, far, uniforms.coarse))
    fine = plain.importance(depths, plain.march(colors, densities, depths)[2], uniforms.fine)
    depths, colors, densities = plain.unified((depths, colors, densities), evaluate(fine))
    scaled, depth, weights = plain.march(colors, densities, depths)
    return (scaled + 1) / 2, depth, weights.sum(dim=2)


def plain_panohead(
    state: Tensors, ws: Tensor, ws_background: Tensor, label: Tensor, config: TrigridConfig = PANOHEAD_TINY128
) -> Rendering:
    size = config.neural_rendering_resolution
    planes = plain.synthesis(state, "backbone.synthesis", ws, "const").unflatten(1, (3, -1))
    rendered = plain_render(state, planes, label, size, config.depth_resolution)
    features, depth, alpha = (value.mT.unflatten(2, (size, size)) for value in rendered)
    background = plain.synthesis(state, "bcg_synthesis", ws_background, "const")
    features = features + (1 - alpha) * plain.resized(background, size)
    raw = plain.to_rgb(state, "torgb", features, ws[:, -1])
    eg3d = replace(TINY128, superresolution=config.superresolution, image_size=config.image_size)
    image = plain.superresolution(state, raw, features, ws, eg3d)
    return Rendering(image=image, raw=raw, depth=depth, alpha=alpha, semantics=alpha * 1.002 - 0.001)


def plain_shift(state: Tensors, z: Tensor, label: Tensor) -> Tensor:
    x = plain.second_moment(plain.fully_connected(state, "t_mapping.embed", label))
    x = plain.fully_connected(state, "t_mapping.fc0", torch.cat([plain.second_moment(z), x], 1), "lrelu")
    return plain.fully_connected(state, "t_mapping.fc1", x)


def plain_logits(state: Tensors, images: dict[str, Tensor], label: Tensor, branch: bool) -> Tensor:
    mask = 2 * images["image_mask"] - 1
    shown = [images["image"], plain.resized(images["image_raw"], 128)] + ([] if branch else [plain.resized(mask, 128)])
    x = torch.cat(shown, 1)
    for size in (128, 64, 32, 16, 8):
        x = plain.discriminator_block(state, f"b{size}", x, clamp=256)
    if branch:
        y = plain.resized(mask, 64)
        for size in (64, 32, 16, 8):
            y = plain.discriminator_block(state, f"sb{size}", y, clamp=256)
        x = x + y
    return plain.discriminator_epilogue(state, "b4", x, plain.mapping(state, "mapping", None, label, layers=8), clamp=256)


def compare(ours: Rendering, theirs: Rendering) -> None:
    """Within 5e-4 of the largest value: recipe weights make raw images of +-12, and both sides round by 1e-4 of that."""
    for name in ("image", "raw", "depth", "alpha", "semantics"):
        expected = getattr(theirs, name)
        assert largest_difference(getattr(ours, name), expected) < 5e-4 * max(1.0, float(expected.abs().max())), name


@torch.no_grad()
def test_images(generator: PanoHead, state: Tensors, ws: Tensor):
    ours = generator.synthesis(ws, Camera.from_label(label()), sampling=EXACT)
    compare(ours, plain_panohead(state, ws, ws, label()))
    assert ours.alpha.std() > 0.1, "the head does not fill the image"


@torch.no_grad()
def test_images_before_a_neighbors_background(generator: PanoHead, state: Tensors, ws: Tensor):
    ours = generator.synthesis(ws, Camera.from_label(label()), background_ws=ws.flip(0), sampling=EXACT)
    compare(ours, plain_panohead(state, ws, ws.flip(0), label()))


@torch.no_grad()
def test_forward_renders_the_shifted_camera(generator: PanoHead, state: Tensors):
    z, camera = torch.randn(2, 32, generator=torch.Generator().manual_seed(4)), Camera.from_label(label())
    shift = plain_shift(state, z, label())
    assert largest_difference(generator.camera_shift(z, camera), shift) < 1e-5
    assert shift.abs().max() > 0.1
    moved = label()
    moved[:, [3, 7, 11]] += shift
    ws = generator.mapping(z, label())
    compare(generator(z, camera, sampling=EXACT), plain_panohead(state, ws, ws, moved))


@torch.no_grad()
def test_another_raw_size(state: Tensors, ws: Tensor):
    half = loaded(replace(PANOHEAD_TINY128, neural_rendering_resolution=16), state)
    ours = half.synthesis(ws, Camera.from_label(label()), sampling=EXACT)
    compare(ours, plain_panohead(state, ws, ws, label(), half.config))


@pytest.mark.parametrize("branch", [False, True])
@torch.no_grad()
def test_logits(branch: bool):
    torch.manual_seed(2)
    kind: DualDiscriminator
    kind = MaskBranchDiscriminator(PANOHEAD_TINY128, mask_size=64) if branch else MaskDiscriminator(PANOHEAD_TINY128)
    state = recipe_state({name: tuple(value.shape) for name, value in kind.state_dict().items()})
    kind.load_state_dict(state)
    images = {
        "image": torch.randn(2, 3, 128, 128), "image_raw": torch.randn(2, 3, 32, 32), "image_mask": torch.rand(2, 1, 32, 32)
    }  # fmt: skip
    labels = torch.randn(2, 25)
    assert largest_difference(kind(images, labels).logits, plain_logits(state, images, labels, branch)) < 1e-5


@pytest.mark.slow
@torch.no_grad()
def test_the_full_size():
    config = replace(PANOHEAD512, neural_rendering_resolution=64)
    with torch.device("meta"):
        names = {name: tuple(value.shape) for name, value in PanoHead(config).state_dict().items()}
    state = recipe_state(names)
    generator = loaded(config, state)
    z = torch.randn(1, 512, generator=torch.Generator().manual_seed(3))
    ws = generator.mapping(z, label()[1:])
    ours = generator.synthesis(ws, Camera.from_label(label()[1:]), sampling=config.sampling("none"))
    compare(ours, plain_panohead(state, ws, ws, label()[1:], config))
