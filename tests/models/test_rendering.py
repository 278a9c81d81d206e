import pytest
import torch
from torch import Tensor

from models.decoders import Decoder
from models.planes import PLANE_AXES, lookup
from models.rendering import Field, render_rays, unsorted_weights
from models.sampling import Sampling, Volume
from tests.reference import Tensors, golden_case, largest_difference, load_case_weights

FFHQ = Volume(limits=(2.25, 3.3))


def decoder_of(inputs: Tensors) -> Decoder:
    decoder = Decoder(32, hidden=64, features=32)
    load_case_weights(decoder, inputs)
    return decoder


def field_of(decoder: Decoder, planes: Tensor, box_size: float = 1.0) -> Field:
    return lambda points: decoder(lookup(planes, points, PLANE_AXES["eg3d_released"], box_size))


@pytest.mark.parametrize(
    ("case", "fine", "volume"),
    [
        ("render_det0", 12, FFHQ),
        ("render_given_u", 12, FFHQ),
        ("render_nofine", 0, FFHQ),
        ("render_white_bw16", 12, Volume(limits=(2.25, 3.3), box_size=1.6, white_back=True)),
        ("render_auto", 12, Volume(limits="box", compat_auto_limits=True)),
        ("render_disparity", 12, Volume(limits=(2.25, 3.3), disparity=True)),
    ],
)
def test_rays_are_rendered_as_officially(case: str, fine: int, volume: Volume):
    inputs, outputs = golden_case("renderer", case)
    decoder, planes = decoder_of(inputs), inputs["planes"].requires_grad_(True)
    u_coarse = inputs["u_coarse"][..., 0] if "u_coarse" in inputs else None
    u_fine = inputs["u_fine"].view(2, 64, 12) if "u_fine" in inputs else None
    sampling = Sampling(coarse=12, fine=fine, jitter="none", u_coarse=u_coarse, u_fine=u_fine)
    field = field_of(decoder, planes, volume.box_size)
    features, depth, alpha = render_rays(field, inputs["ro"], inputs["rd"], sampling, volume)
    assert largest_difference(features, outputs["feat"]) < 5e-5
    assert largest_difference(depth, outputs["depth"]) < 2e-4
    assert largest_difference(alpha, outputs["weight_total"]) < 5e-5
    if "grad_planes" in outputs:
        (features * inputs["gw"]).sum().backward()
        assert planes.grad is not None
        compare_gradient(planes.grad, outputs["grad_planes"])
        for name, parameter in decoder.named_parameters():
            assert parameter.grad is not None
            compare_gradient(parameter.grad, outputs[f"grad.{name}"])


def compare_gradient(ours: Tensor, theirs: Tensor) -> None:
    assert largest_difference(ours, theirs) < 1e-4 * theirs.abs().max()


def test_a_field_at_points_is_the_official_one():
    inputs, outputs = golden_case("renderer", "run_model")
    features, density = field_of(decoder_of(inputs), inputs["planes"])(inputs["pts"])
    assert largest_difference(features.mT, outputs["rgb"]) < 1e-5
    assert largest_difference(density, outputs["sigma"][..., 0]) < 1e-4


def test_unifying_samples_is_sorting_as_officially():
    inputs, outputs = golden_case("renderer", "unify_samples")
    depths = torch.cat([inputs["d1"], inputs["d2"]], 2)[..., 0]
    density = torch.cat([inputs["s1"], inputs["s2"]], 2)[..., 0]
    colors = torch.cat([inputs["c1"], inputs["c2"]], 2)
    ours = (unsorted_weights(density, depths)[..., None] * colors).sum(2)
    weights = unsorted_weights(outputs["densities"][..., 0], outputs["depths"][..., 0])
    assert largest_difference(ours, (weights[..., None] * outputs["colors"]).sum(2)) < 1e-6


@torch.no_grad()
def test_a_ray_does_not_depend_on_its_chunk_or_its_batch():
    inputs, _ = golden_case("renderer", "render_det0")
    field = field_of(decoder_of(inputs), inputs["planes"])
    sampling = Sampling(coarse=12, fine=12)
    whole = render_rays(field, inputs["ro"], inputs["rd"], sampling, FFHQ, chunk=64)
    for chunk in (2, 7, 32):
        parts = render_rays(field, inputs["ro"], inputs["rd"], sampling, FFHQ, chunk=chunk)
        assert max(largest_difference(a, b) for a, b in zip(whole, parts, strict=True)) < 1e-6
    single = render_rays(field, inputs["ro"][:, :1], inputs["rd"][:, :1], sampling, FFHQ)
    assert max(largest_difference(a[:, :1], b) for a, b in zip(whole, single, strict=True)) < 1e-6


def test_an_opaque_ball_is_seen_where_it_is_and_a_missed_box_is_exactly_empty():
    def ball(points: Tensor) -> tuple[Tensor, Tensor]:
        inside = points.norm(dim=2) < 0.3
        return torch.ones(len(points), 3, points.shape[1]), torch.where(inside, 1e4, -1e4)

    origins = torch.tensor([[[0.0, 0.0, 2.7], [0.4, 0.0, 2.7], [2.0, 0.0, 2.7]]])
    directions = torch.tensor([0.0, 0.0, -1.0]).expand_as(origins)
    features, depth, alpha = render_rays(ball, origins, directions, Sampling(coarse=32, fine=32), Volume())
    assert alpha.flatten().tolist() == pytest.approx([1, 0, 0], abs=1e-6)
    assert depth[0, 0].item() == pytest.approx(2.4, abs=0.04)
    assert features[0, 0].tolist() == pytest.approx([1] * 3, abs=1e-5)
    assert features[0, 2].tolist() == [-1] * 3
