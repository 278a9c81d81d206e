"""The whole network against the official one, on recipe weights."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
import pytest
import torch
from torch import nn

from models.camera import Camera
from models.discriminators import DualDiscriminator
from models.eg3d import EG3D, TINY128, EG3DConfig
from models.generator import Rendering
from models.losses import density_smoothness, discriminator_loss, generator_loss, r1_penalty
from models.sampling import Sampling
from models.stylegan2.resampling import blur
from tests.material import shared
from tests.reference import GOLDENS, Tensors, arrays_of, largest_difference, recipe_state

Network = TypeVar("Network", bound=nn.Module)
EXACT = TINY128.sampling("none")


@pytest.fixture(scope="module")
def golden() -> Tensors:
    return arrays_of(GOLDENS / "tiny128_io.npz")


@pytest.fixture(scope="module")
def generator() -> EG3D:
    return loaded(EG3D(TINY128))


@pytest.fixture(scope="module")
def discriminator() -> DualDiscriminator:
    return loaded(DualDiscriminator(TINY128))


def loaded(module: Network) -> Network:
    module.load_state_dict(recipe_state({name: tuple(value.shape) for name, value in module.state_dict().items()}))
    return module


def rendered(generator: EG3D, golden: Tensors, **options) -> Rendering:
    ws = generator.mapping(golden["z"], golden["c_cond"])
    return generator.synthesis(ws, Camera.from_label(golden["c"]), **{"sampling": EXACT, **options})


@torch.no_grad()
def test_latents(generator: EG3D, golden: Tensors):
    z, label = golden["z"], golden["c_cond"]
    assert largest_difference(generator.mapping(z, label)[:, 0], golden["w"]) < 1e-5
    assert largest_difference(generator.mapping(z, label, truncation=0.7)[:, 0], golden["w_psi07"]) < 1e-5
    cut = generator.mapping(z, label, truncation=0.7, cutoff=5)
    assert largest_difference(cut[:, [0, 4, 5, -1]], golden["w_psi07_cut5"]) < 1e-5


@torch.no_grad()
def test_planes(generator: EG3D, golden: Tensors):
    planes = generator.planes(generator.mapping(golden["z"], golden["c_cond"]))
    assert largest_difference(planes.flatten(1, 2)[:, :, ::16, ::16], golden["planes_stride16"]) < 1e-4


@torch.no_grad()
def test_images(generator: EG3D, golden: Tensors):
    rendering = rendered(generator, golden)
    assert largest_difference(rendering.image, golden["det0_image"]) < 5e-4
    assert largest_difference(rendering.raw, golden["det0_image_raw"]) < 5e-4
    assert largest_difference(rendering.depth, golden["det0_depth"]) < 5e-4
    assert largest_difference(rendering.alpha[:, 0], golden["det0_weight_total"]) < 5e-4
    silent = rendered(generator, golden, noise="none")
    assert largest_difference(silent.image[..., ::2, ::2], golden["det0_none_image"]) < 5e-4


@torch.no_grad()
def test_images_of_given_uniforms(generator: EG3D, golden: Tensors):
    given = Sampling(coarse=12, fine=12, u_coarse=golden["u_coarse"][..., 0], u_fine=golden["u_fine"].view(2, 1024, 12))
    rendering = rendered(generator, golden, sampling=given)
    assert largest_difference(rendering.raw, golden["rand_image_raw"]) < 5e-4
    seen = rendering.alpha > 1e-6  # the release puts empty rays at the largest depth of the batch
    assert largest_difference(rendering.depth[seen], golden["rand_depth"][seen]) < 5e-4


@torch.no_grad()
def test_images_of_another_raw_size(golden: Tensors):
    half = loaded(EG3D(replace(TINY128, neural_rendering_resolution=16)))
    rendering = rendered(half, golden)
    assert largest_difference(rendering.raw, golden["det0_half_image_raw"]) < 5e-4
    assert largest_difference(rendering.image[..., ::2, ::2], golden["det0_half_image"]) < 5e-4


@torch.no_grad()
def test_logits(generator: EG3D, discriminator: DualDiscriminator, golden: Tensors):
    rendering, label = rendered(generator, golden), golden["c"]
    assert largest_difference(discriminator.mapping(None, label), golden["D_cmap"]) < 1e-5
    assert largest_difference(discriminator(rendering, label).logits, golden["D_logits"]) < 1e-5
    blurred = {"image": blur(rendering.image, 2.5), "image_raw": rendering.raw}
    assert largest_difference(discriminator(blurred, label).logits, golden["D_blur2.5_logits"]) < 1e-5
    single = [
        discriminator({"image": rendering.image[i : i + 1], "image_raw": rendering.raw[i : i + 1]}, label[i : i + 1]).logits
        for i in range(2)
    ]
    assert largest_difference(torch.cat(single), golden["D_logits_single"]) < 1e-5


def test_generator_step(generator: EG3D, discriminator: DualDiscriminator, golden: Tensors):
    generator.zero_grad()
    loss = generator_loss(discriminator(rendered(generator, golden), golden["c"]).logits)
    loss.backward()
    assert loss.item() == pytest.approx(golden["Gmain_loss"].item(), abs=1e-6)
    compare_norms(generator, golden, "Gmain_grad_norm")
    gradients = {name: parameter.grad for name, parameter in generator.named_parameters()}
    for ours, theirs in (
        ("decoder.net.0.weight", "decoder0"),
        ("backbone.synthesis.b4.const", "const"),
        ("backbone.mapping.embed.weight", "embed"),
    ):
        expected, gradient = golden[f"Gmain_grad_{theirs}"], gradients[ours]
        assert gradient is not None
        assert largest_difference(gradient, expected) < 1e-3 * expected.abs().max()


def compare_norms(module: nn.Module, golden: Tensors, key: str) -> None:
    """The gradient's norm of every parameter; the official names are stored beside the numbers."""
    with np.load(GOLDENS / "tiny128_io.npz") as arrays:
        names = [str(name) for name in arrays["D_param_names" if key.startswith("D_") else "G_param_names"]]
    ours = {name: 0.0 if p.grad is None else p.grad.double().norm().item() for name, p in module.named_parameters()}
    assert ours == pytest.approx(dict(zip(names, golden[key].tolist(), strict=True)), rel=2e-3, abs=1e-9)


def test_density_regularization(generator: EG3D, golden: Tensors):
    generator.zero_grad()
    planes = generator.planes(generator.mapping(golden["z"], golden["c_cond"]))
    density = generator.density_at(planes, golden["Greg_points"])
    assert largest_difference(density, golden["Greg_sigma"]) < 2e-3
    loss = 0.25 * density_smoothness(*density.chunk(2, dim=1))
    loss.backward()
    assert loss.item() == pytest.approx(golden["Greg_loss"].item(), rel=1e-4)
    compare_norms(generator, golden, "Greg_grad_norm")


def test_discriminator_step(generator: EG3D, discriminator: DualDiscriminator, golden: Tensors):
    discriminator.zero_grad()
    image = golden["real_image_f16"].float().requires_grad_(True)
    raw = golden["real_raw"].clone().requires_grad_(True)
    real = discriminator({"image": image, "image_raw": raw}, golden["c"]).logits
    penalty = r1_penalty(real, image, raw)
    with torch.no_grad():
        fake = rendered(generator, golden)
    loss = discriminator_loss(real=real, fake=discriminator(fake, golden["c"]).logits) + 0.5 * penalty.mean()
    loss.backward()
    assert largest_difference(real, golden["Dreal_logits"]) < 1e-5
    assert torch.allclose(penalty, golden["D_r1_penalty"], rtol=1e-4)
    assert loss.item() == pytest.approx(golden["Dloss_total"].item(), abs=1e-5)
    compare_norms(discriminator, golden, "D_grad_norm")


@pytest.mark.slow
@torch.no_grad()
def test_the_512_network():
    golden = arrays_of(shared("goldens/eg3d/tiny512_io.npz"))
    config = EG3DConfig(
        z_dim=32, mapping_embed=32, mapping_hidden=64, channel_base=512, channel_max=32, plane_axes="eg3d_released",
        neural_rendering_resolution=64, depth_resolution=12, depth_resolution_importance=12,
    )  # fmt: skip
    generator = loaded(EG3D(config))
    rendering = rendered(generator, golden, sampling=config.sampling("none"))
    assert largest_difference(rendering.raw[..., ::2, ::2], golden["det0_image_raw"]) < 1e-3
    assert largest_difference(rendering.image[..., ::4, ::4], golden["det0_image"]) < 1e-3
