import torch

from models.networks.stylegan2.mapping import Mapping
from tests.reference import golden_case, largest_difference, load_case_weights


def generator_mapping() -> Mapping:
    return Mapping(z_dim=8, label_dim=25, w_dim=16, layers=2, num_ws=6)


def test_mean_w_moves_as_the_official_one_and_only_when_asked():
    inputs, outputs = golden_case("ops_layers", "mapping_w_avg_update")
    given, expected = golden_case("ops_layers", "mapping_zc")
    mapping = generator_mapping()
    load_case_weights(mapping, given)
    mapping.w_avg.copy_(inputs["w_avg_before"])
    mapping(given["z"], given["c"])
    assert torch.equal(mapping.w_avg, inputs["w_avg_before"])
    mapping.track(expected["w"][:, 0])
    assert largest_difference(mapping.w_avg, outputs["w_avg_after"]) < 1e-6


def test_no_truncation_ignores_the_mean_and_full_truncation_is_the_mean():
    mapping = generator_mapping()
    mapping.w_avg.fill_(3.0)
    z, c = torch.randn(2, 8), torch.randn(2, 25)
    assert torch.equal(mapping(z, c, truncation=0.0), torch.full((2, 6, 16), 3.0))
    assert torch.equal(mapping(z, c, truncation=0.0, cutoff=2)[:, 2:], mapping(z, c)[:, 2:])
