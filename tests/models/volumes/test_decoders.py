import pytest
import torch

from models.volumes.decoders import ACTIVATIONS, Activation, Decoder, DensityPrior
from tests.reference import golden_case, largest_difference, load_case_weights


def test_decoder_is_the_official_one():
    inputs, outputs = golden_case("planes", "osg_decoder")
    decoder = Decoder(32, hidden=64, features=32)
    load_case_weights(decoder, inputs)
    mean = inputs["feats"].mean(1)
    features, density = decoder(mean)
    assert largest_difference(features, outputs["rgb"]) < 5e-5
    assert largest_difference(density, outputs["sigma"][..., 0]) < 5e-5
    assert largest_difference(decoder.density(mean), density) < 1e-4


@pytest.mark.parametrize("activation", ["sigmoid", "lrelu", "none"])
def test_activations_are_the_official_ones(activation: Activation):
    inputs, outputs = golden_case("panohead_ops", f"decoder_{activation}")
    decoder = Decoder(32, hidden=64, features=32, activation=activation)
    load_case_weights(decoder, inputs)
    features, density = decoder(inputs["feats"].mean(1))
    assert largest_difference(features, outputs["rgb"]) < 5e-5
    assert largest_difference(density, outputs["sigma"][..., 0]) < 5e-5


def test_activations_worked_numbers():
    assert [act(torch.tensor(-1.0)).item() for act in ACTIVATIONS.values()] == pytest.approx([0.2685, -0.2828, -1], abs=1e-4)


def test_density_prior_worked_numbers():
    prior = DensityPrior(center=(0.0, 0.1, 0.0), radii=(0.2, 0.3, 0.2), strength=15.0, emptiness=3.0, softness=0.1)
    points = torch.tensor([[[0.0, 0.1, 0.0], [0.0, 0.4, 0.0], [0.2, 0.1, 0.0], [0.5, 0.5, 0.5]]])
    assert prior(points)[0].tolist() == pytest.approx([12, 4.5, 4.5, -3], abs=1e-3)
    outside = 1 - torch.exp(-torch.nn.functional.softplus(torch.tensor(-3.0 - 1)))
    assert outside.item() == pytest.approx(0.018, abs=5e-4)


def test_density_prior_from_json_is_the_same():
    assert DensityPrior(center=[0.0, 0.05, 0.0], radii=[0.25, 0.35, 0.3]) == DensityPrior()  # type: ignore[arg-type]
