import pytest
import torch

from models.stylegan2.discriminator import DiscriminatorBlock, DiscriminatorEpilogue, minibatch_deviation
from tests.reference import golden_case, largest_difference, load_case_weights


@pytest.mark.parametrize(("case", "group"), [("mbstd_N4_G4", 4), ("mbstd_N8_G4", 4), ("mbstd_N2_G4", 4), ("mbstd_N6_G3", 3)])
def test_minibatch_deviation_is_the_official_one(case: str, group: int):
    inputs, outputs = golden_case("ops_layers", case)
    assert largest_difference(minibatch_deviation(inputs["x"], group), outputs["y"]) < 1e-6


def test_minibatch_deviation_worked_number():
    x = torch.stack([torch.zeros(3, 2, 2), torch.full((3, 2, 2), 2.0)])
    assert minibatch_deviation(x, 4)[:, -1].unique().item() == pytest.approx(1)


def test_blocks_are_the_official_ones():
    inputs, outputs = golden_case("ops_layers", "d_block_first")
    block = DiscriminatorBlock(0, 4, 8, image_channels=6, clamp=256)
    load_case_weights(block, inputs)
    assert largest_difference(block(inputs["img"]), outputs["x"]) < 1e-5
    inputs, outputs = golden_case("ops_layers", "d_block_next")
    block = DiscriminatorBlock(8, 8, 6)
    load_case_weights(block, inputs)
    assert largest_difference(block(inputs["x"]), outputs["x"]) < 1e-5


def test_epilogue_is_the_official_one():
    inputs, outputs = golden_case("ops_layers", "d_epilogue")
    epilogue = DiscriminatorEpilogue(6, label_dim=16)
    load_case_weights(epilogue, inputs)
    assert largest_difference(epilogue(inputs["x"], inputs["cmap"]), outputs["y"]) < 1e-5
