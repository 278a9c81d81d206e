import pytest
import torch
from torch import Tensor

from models.rendering.fields import Field
from models.rendering.renderer import render_rays
from models.rendering.sampling import Sampling, Volume
from models.volumes.decoders import Decoder
from models.volumes.planes import PLANE_AXES, as_texels, lookup
from tests.reference import Tensors, golden_case, largest_difference, load_case_weights

FFHQ = Volume(limits=(2.25, 3.3))


def decoder_of(inputs: Tensors) -> Decoder:
    decoder = Decoder(32, hidden=64, features=32)
    load_case_weights(decoder, inputs)
    return decoder


def field_of(decoder: Decoder, planes: Tensor, box_size: float = 1.0) -> Field:
    texels = as_texels(planes)
    return lambda points: decoder(lookup(texels, points, PLANE_AXES["eg3d_released"], box_size))


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
        return torch.ones_like(points), torch.where(inside, 1e4, -1e4)

    origins = torch.tensor([[[0.0, 0.0, 2.7], [0.4, 0.0, 2.7], [2.0, 0.0, 2.7]]])
    directions = torch.tensor([0.0, 0.0, -1.0]).expand_as(origins)
    features, depth, alpha = render_rays(ball, origins, directions, Sampling(coarse=32, fine=32), Volume())
    assert alpha.flatten().tolist() == pytest.approx([1, 0, 0], abs=1e-6)
    assert depth[0, 0].item() == pytest.approx(2.4, abs=0.04)
    assert features[0, 0].tolist() == pytest.approx([1] * 3, abs=1e-5)
    assert features[0, 2].tolist() == [-1] * 3
