import pytest
import torch

from models.volumes.planes import PLANE_AXES, as_texels, crop_mask, lookup, with_third
from tests.material import shared
from tests.reference import arrays_of, each_plane, golden_case, largest_difference, projected


@pytest.mark.parametrize(
    ("case", "axes"),
    [("project_onto_planes", "eg3d_released"), ("project_onto_planes_panohead_axes", "panohead")],
)
def test_axes_are_the_official_ones(case: str, axes: str):
    inputs, outputs = golden_case("planes", case)
    assert largest_difference(projected(inputs["pts"], PLANE_AXES[axes]).flatten(0, 1), outputs["uv"]) < 1e-6


def test_the_fixed_axes_read_z_then_y():
    point = torch.tensor([[[0.1, 0.2, 0.3]]])
    expected = torch.tensor([[0.1, 0.2], [0.1, 0.3], [0.3, 0.2]])
    assert torch.equal(projected(point, PLANE_AXES["eg3d_fixed67"])[0, :, 0], expected)


@pytest.mark.parametrize("box_size", [1.0, 1.6])
def test_lookup_is_the_official_one(box_size: float):
    inputs, outputs = golden_case("planes", f"sample_from_planes_bw{box_size}")
    texels, axes = as_texels(inputs["planes"]), PLANE_AXES["eg3d_released"]
    assert largest_difference(each_plane(texels, inputs["pts"], axes, box_size), outputs["feats"]) < 1e-5
    assert largest_difference(lookup(texels, inputs["pts"], axes, box_size), outputs["feats"].mean(1)) < 1e-5


def test_planes_can_be_weighed_at_every_point():
    texels, axes = torch.randn(2, 3, 8, 8, 2), PLANE_AXES["eg3d_fixed67"]
    points, shares = torch.rand(2, 5, 3) - 0.5, torch.rand(2, 5, 3)
    expected = torch.einsum("bnpc,bnp->bnc", each_plane(texels, points, axes, 1.0).movedim(1, 2), shares)
    torch.testing.assert_close(lookup(texels, points, axes, 1.0, shares), expected, atol=1e-6, rtol=1e-5)


def test_planes_of_ones_end_at_the_box():
    texels = torch.ones(1, 3, 8, 8, 2)
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.4, -0.4, 0.4], [0.7, 0.7, 0.7]]])
    assert lookup(texels, points, PLANE_AXES["eg3d_fixed67"], 1.0)[0, :, 0].tolist() == pytest.approx([1, 1, 0])
    face = each_plane(texels, torch.tensor([[[0.5, 0.0, 0.0]]]), PLANE_AXES["eg3d_fixed67"], 1.0)
    assert face[0, :, 0, 0].tolist() == [0.5, 0.5, 1]


def test_derivatives_of_the_lookup():
    torch.manual_seed(1)
    texels = torch.randn(2, 3, 4, 5, 2, dtype=torch.float64, requires_grad=True)
    points = ((torch.rand(2, 6, 3, dtype=torch.float64) - 0.5) * 1.2).requires_grad_()
    assert torch.autograd.gradcheck(lambda t, p: lookup(t, p, PLANE_AXES["eg3d_fixed67"], 1.0), (texels, points))


def test_a_grid_has_its_depth_along_the_axis_its_plane_leaves_out():
    inputs, outputs = golden_case("panohead_ops", "project_onto_planes")
    assert torch.equal(projected(inputs["pts"], with_third(PLANE_AXES["panohead"])).flatten(0, 1), outputs["uvw"])
    assert with_third(PLANE_AXES["eg3d_fixed67"]) == ((0, 1, 2), (0, 2, 1), (2, 1, 0))


@pytest.mark.parametrize("depth", [1, 3])
def test_tri_grid_lookup_is_the_official_one(depth: int):
    inputs, outputs = golden_case("panohead_ops", f"sample_trigrid_d{depth}")
    texels, axes = as_texels(inputs["planes"], depth), with_third(PLANE_AXES["panohead"])
    assert largest_difference(each_plane(texels, inputs["pts"], axes, 1.0), outputs["feats"]) < 1e-5
    assert largest_difference(lookup(texels, inputs["pts"], axes, 1.0), outputs["feats"].mean(1)) < 1e-5


def test_tri_grid_of_the_3dportraitgan_vectors():
    golden = arrays_of(shared("goldens/3dportraitgan/trigrid.npz"))
    features = each_plane(as_texels(golden["planes"], 3), golden["x"], with_third(PLANE_AXES["panohead"]), 1.0)
    assert largest_difference(features, golden["features"]) < 1e-5


def test_texels_of_a_grid_have_feature_c_of_slice_d_from_channel_c_times_depth_plus_d():
    planes = torch.randn(2, 3, 4 * 3, 5, 6)
    texels = as_texels(planes, 3)
    assert texels.shape == (2, 3, 3, 5, 6, 4)
    assert torch.equal(texels[:, :, 1, ..., 2], planes[:, :, 2 * 3 + 1])


def test_grids_of_ones_fade_at_their_depth():
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.3], [0.0, 0.0, 0.5], [0.0, 0.0, 1.0]]])
    axes = with_third(PLANE_AXES["panohead"])[:1]
    three = lookup(torch.ones(1, 1, 3, 8, 8, 1), points, axes, 1.0)
    assert three[0, :, 0].tolist() == pytest.approx([1, 1, 0.5, 0])
    one = lookup(torch.ones(1, 1, 1, 8, 8, 1), points, axes, 1.0)
    assert one[0, :, 0].tolist() == pytest.approx([1, 0.7, 0.5, 0])


@pytest.mark.parametrize(("case", "margin"), [("0.1_True", 0.1), ("0.1_False", 0.1), ("0.05_True", 0.05)])
def test_the_crop_is_the_official_one(case: str, margin: float):
    inputs, outputs = golden_case("panohead_ops", f"triplane_crop_mask_{case}")
    assert torch.equal(crop_mask(inputs["xyz"], 1.0, margin), outputs["mask"][..., 0])


def test_the_crop_leaves_the_neck():
    points = torch.tensor([[[0.41, 0.0, 0.0], [0.0, 0.0, -0.41], [0.0, 0.49, 0.4]]])
    assert crop_mask(points, 1.0, 0.1)[0].tolist() == [True, True, False]
    assert not crop_mask(points, 1.6, 0.1).any()
