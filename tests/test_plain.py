"""Scaled activations or weights of every sample: the same image. test_eg3d_reference.py compares it with the official one."""

import torch

from models.eg3d.config import TINY128
from tests import plain
from tests.reference import GOLDENS, arrays_of, largest_difference, official_names, recipe_state


@torch.no_grad()
def test_fused_and_unfused_images_are_the_same():
    golden, state = arrays_of(GOLDENS / "tiny128_io.npz"), recipe_state(official_names("tiny128", "G."))
    ws = plain.latents(state, TINY128, golden["z"], golden["c_cond"])
    fused, unfused = (plain.generate(state, TINY128, ws, golden["c"], fused=fused) for fused in (True, False))
    assert largest_difference(unfused.image, golden["det0_image"]) < 5e-4
    assert 0 < largest_difference(unfused.image, fused.image) < 5e-4
