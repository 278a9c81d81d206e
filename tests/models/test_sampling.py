import pytest
import torch

from models import sampling
from models.sampling import Sampling, Volume, box_limits, importance, inverse_cdf, ray_limits, stratified
from tests.reference import golden_case, largest_difference


def limits(near: float, far: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(near).view(1, 1, 1), torch.tensor(far).view(1, 1, 1)


@pytest.mark.parametrize(("case", "u"), [("sample_stratified_zero", 0.0), ("sample_stratified_half", 0.5)])
def test_stratified_depths_are_the_official_ones(case: str, u: float):
    _, outputs = golden_case("renderer", case)
    uniforms = torch.full((1, 1, 12), u)
    for name, disparity in (("depths", False), ("depths_disparity", True)):
        depths = stratified(*limits(2.25, 3.3), 12, uniforms, disparity)
        assert largest_difference(depths, outputs[name][..., 0]) < 1e-6


def test_stratified_depths_with_given_uniforms_and_limits_a_ray():
    inputs, outputs = golden_case("renderer", "sample_stratified_u")
    depths = stratified(*limits(2.25, 3.3), 12, inputs["u"][..., 0])
    assert largest_difference(depths, outputs["depths"][..., 0]) < 1e-6
    inputs, outputs = golden_case("renderer", "sample_stratified_tensor_limits")
    depths = stratified(inputs["start"], inputs["end"], 5, torch.zeros(2, 3, 5))
    assert largest_difference(depths, outputs["depths"][..., 0]) < 1e-6


def test_stratified_worked_numbers():
    assert stratified(*limits(2.0, 3.0), 3, torch.zeros(1, 1, 3)).flatten().tolist() == [2, 2.5, 3]


@pytest.mark.parametrize("case", ["get_ray_limits_box", "get_ray_limits_box_miss"])
def test_box_limits_are_the_official_ones(case: str):
    inputs, outputs = golden_case("renderer", case)
    near, far, hit = box_limits(inputs["ro"], inputs["rd"], 1.0)
    assert torch.equal(hit, outputs["end"] >= outputs["start"])
    assert largest_difference(near[hit], outputs["start"][hit]) < 2e-6
    assert largest_difference(far[hit], outputs["end"][hit]) < 2e-6


def rays(*pairs: tuple[tuple[float, float, float], tuple[float, float, float]]) -> tuple[torch.Tensor, torch.Tensor]:
    origins, directions = zip(*pairs, strict=True)
    return torch.tensor([origins]), torch.tensor([directions])


def test_box_limits_worked_numbers_and_a_ray_in_a_face():
    origins, directions = rays(((0, 0, 2.7), (0, 0, -1)), ((0.5, 0, 2.7), (0, 0, -1)))
    near, far, hit = box_limits(origins, directions, 1.0)
    assert hit.all()
    assert torch.allclose(near, torch.tensor(2.2))
    assert torch.allclose(far, torch.tensor(3.2))


def test_a_missing_ray_is_empty_and_independent_of_others():
    origins, directions = rays(((0, 0, 2.7), (0, 0, -1)), ((2, 0, 2.7), (0, 0, -1)), ((0, 0, 2.7), (0, 0, 1.0)))
    near, far = ray_limits(origins, directions, Volume())
    assert near[0, 1:].flatten().tolist() == far[0, 1:].flatten().tolist() == pytest.approx([2.7, 1e-3])
    alone = ray_limits(origins[:, 1:2], directions[:, 1:2], Volume())
    assert torch.equal(alone[0], near[:, 1:2])


def test_limits_start_at_a_camera_inside_the_box():
    origins, directions = rays(((0, 0, 0.2), (0, 0, -1)))
    near, far = ray_limits(origins, directions, Volume())
    assert (near.item(), far.item()) == pytest.approx((1e-3, 0.7))


def test_a_call_can_override_the_limits():
    origins, directions = rays(((0, 0, 2.7), (0, 0, -1)))
    near, far = ray_limits(origins, directions, Volume(), (1.0, 4.0))
    assert (near.item(), far.item()) == (1.0, 4.0)


def test_importance_is_the_official_one():
    inputs, outputs = golden_case("renderer", "sample_importance_linspace")
    depths, weights = inputs["z_vals"][..., 0], inputs["weights"][..., 0]
    u = torch.linspace(0, 1, 8).expand(2, 7, 8)
    assert largest_difference(importance(depths, weights, u), outputs["z_fine"][..., 0]) < 1e-5
    inputs, outputs = golden_case("renderer", "sample_importance_given")
    depths, weights = inputs["z_vals"][..., 0], inputs["weights"][..., 0]
    assert largest_difference(importance(depths, weights, inputs["u"].view(2, 7, 8)), outputs["z_fine"][..., 0]) < 1e-5


def test_inverse_cdf_is_the_official_one():
    inputs, outputs = golden_case("renderer", "sample_pdf_det")
    u = torch.linspace(0, 1, 10).expand(5, 10)
    assert largest_difference(inverse_cdf(inputs["bins"], inputs["weights"], u), outputs["samples"]) < 1e-5
    inputs, outputs = golden_case("renderer", "sample_pdf_u")
    assert largest_difference(inverse_cdf(inputs["bins"], inputs["weights"], inputs["u"]), outputs["samples"]) < 1e-5


def test_inverse_cdf_worked_number():
    value = inverse_cdf(torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 3.0]), torch.tensor([0.625]))
    assert value.item() == pytest.approx(1.5, abs=1e-4)


def test_uniforms_are_what_the_jitter_says():
    like = torch.zeros(1, 2, 3)
    assert sampling.coarse_uniforms(Sampling(coarse=2, fine=2, jitter="none"), like).unique().tolist() == [0]
    assert sampling.coarse_uniforms(Sampling(coarse=2, fine=2), like).unique().tolist() == [0.5]
    assert sampling.fine_uniforms(Sampling(coarse=2, fine=2), like)[0, 0].tolist() == [0.25, 0.75]
    first, again = (
        sampling.fine_uniforms(Sampling(coarse=2, fine=2, jitter="random", generator=torch.Generator().manual_seed(3)), like)
        for _ in range(2)
    )
    assert torch.equal(first, again)
    given = torch.rand(1, 2, 2)
    assert sampling.coarse_uniforms(Sampling(coarse=2, fine=0, u_coarse=given), like) is given
