"""The plain reference against the whole official network, before anything is compared with it."""

from dataclasses import replace

import pytest
import torch

from models.eg3d import TINY128
from tests import plain
from tests.material import shared
from tests.reference import GOLDENS, Tensors, arrays_of, largest_difference, official_names, recipe_state


@pytest.fixture(scope="module")
def golden() -> Tensors:
    return arrays_of(GOLDENS / "tiny128_io.npz")


@pytest.fixture(scope="module")
def state() -> Tensors:
    return recipe_state(official_names("tiny128", "G."))


@pytest.mark.parametrize("fused", [True, False])
@torch.no_grad()
def test_the_plain_generator_is_the_official_one(state: Tensors, golden: Tensors, fused: bool):
    ws = plain.latents(state, TINY128, golden["z"], golden["c_cond"])
    assert largest_difference(ws[:, 0], golden["w"]) < 1e-5
    images = plain.generate(state, TINY128, ws, golden["c"], fused=fused)
    assert largest_difference(images.raw, golden["det0_image_raw"]) < 5e-4
    assert largest_difference(images.depth, golden["det0_depth"]) < 5e-4
    assert largest_difference(images.alpha[:, 0], golden["det0_weight_total"]) < 5e-4
    assert largest_difference(images.image, golden["det0_image"]) < 5e-4


@torch.no_grad()
def test_with_given_uniforms_another_raw_size_and_no_noise(state: Tensors, golden: Tensors):
    ws = plain.latents(state, TINY128, golden["z"], golden["c_cond"])
    uniforms = plain.Uniforms(coarse=golden["u_coarse"], fine=golden["u_fine"])
    images = plain.generate(state, TINY128, ws, golden["c"], uniforms=uniforms)
    assert largest_difference(images.raw, golden["rand_image_raw"]) < 5e-4
    assert largest_difference(images.depth, golden["rand_depth"]) < 5e-4
    half = plain.generate(state, replace(TINY128, neural_rendering_resolution=16), ws, golden["c"])
    assert largest_difference(half.image[..., ::2, ::2], golden["det0_half_image"]) < 5e-4
    silent = plain.generate(state, TINY128, ws, golden["c"], noise="none")
    assert largest_difference(silent.image[..., ::2, ::2], golden["det0_none_image"]) < 5e-4


@torch.no_grad()
def test_the_plain_discriminator_is_the_official_one(golden: Tensors):
    state = recipe_state(official_names("tiny128", "D."))
    logits = plain.discriminate(state, golden["det0_image"], golden["det0_image_raw"], golden["c"])
    assert largest_difference(logits, golden["D_logits"]) < 1e-5
    assert largest_difference(plain.mapping(state, "mapping", None, golden["c"], layers=8), golden["D_cmap"]) < 1e-5


@torch.no_grad()
def test_all_32_channels(state: Tensors):
    golden = arrays_of(shared("goldens/eg3d/tiny128_io.npz"))
    ws = plain.latents(state, TINY128, golden["z"], golden["c_cond"])
    assert largest_difference(plain.generate(state, TINY128, ws, golden["c"]).features, golden["det0_feature_image"]) < 5e-4
