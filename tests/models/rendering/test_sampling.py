import pytest
import torch

from models.rendering import sampling
from models.rendering.sampling import Sampling, Volume, box_limits, inverse_cdf, ray_limits, stratified


def limits(near: float, far: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor(near).view(1, 1, 1), torch.tensor(far).view(1, 1, 1)


def test_stratified_worked_numbers():
    assert stratified(*limits(2.0, 3.0), 3, torch.zeros(1, 1, 3)).flatten().tolist() == [2, 2.5, 3]


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
