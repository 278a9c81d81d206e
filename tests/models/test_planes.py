import pytest
import torch

from models.planes import PLANE_AXES, as_grid, crop_mask, lookup, lookup_grid, project, sample_grid, sample_planes, with_third
from tests.material import shared
from tests.reference import arrays_of, golden_case, largest_difference


@pytest.mark.parametrize(
    ("case", "axes"),
    [("project_onto_planes", "eg3d_released"), ("project_onto_planes_panohead_axes", "panohead")],
)
def test_axes_are_the_official_ones(case: str, axes: str):
    inputs, outputs = golden_case("planes", case)
    assert largest_difference(project(inputs["pts"], PLANE_AXES[axes]).flatten(0, 1), outputs["uv"]) < 1e-6


def test_the_fixed_axes_read_z_then_y():
    point = torch.tensor([[[0.1, 0.2, 0.3]]])
    expected = torch.tensor([[0.1, 0.2], [0.1, 0.3], [0.3, 0.2]])
    assert torch.equal(project(point, PLANE_AXES["eg3d_fixed67"])[0, :, 0], expected)


@pytest.mark.parametrize("box_size", [1.0, 1.6])
def test_lookup_is_the_official_one(box_size: float):
    inputs, outputs = golden_case("planes", f"sample_from_planes_bw{box_size}")
    features = sample_planes(inputs["planes"], inputs["pts"], PLANE_AXES["eg3d_released"], box_size)
    assert largest_difference(features.mT, outputs["feats"]) < 1e-5


def test_planes_of_ones_end_at_the_box():
    planes = torch.ones(1, 3, 2, 8, 8)
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.4, -0.4, 0.4], [0.7, 0.7, 0.7]]])
    assert lookup(planes, points, PLANE_AXES["eg3d_fixed67"], 1.0)[0, 0].tolist() == [1, 1, 0]
    face = sample_planes(planes, torch.tensor([[[0.5, 0.0, 0.0]]]), PLANE_AXES["eg3d_fixed67"], 1.0)
    assert face[0, :, 0, 0].tolist() == [0.5, 0.5, 1]


def test_a_grid_has_its_depth_along_the_axis_its_plane_leaves_out():
    inputs, outputs = golden_case("panohead_ops", "project_onto_planes")
    assert torch.equal(project(inputs["pts"], with_third(PLANE_AXES["panohead"])).flatten(0, 1), outputs["uvw"])
    assert with_third(PLANE_AXES["eg3d_fixed67"]) == ((0, 1, 2), (0, 2, 1), (2, 1, 0))


@pytest.mark.parametrize("depth", [1, 3])
def test_tri_grid_lookup_is_the_official_one(depth: int):
    inputs, outputs = golden_case("panohead_ops", f"sample_trigrid_d{depth}")
    grid = as_grid(inputs["planes"], depth)
    features = sample_grid(grid, inputs["pts"], PLANE_AXES["panohead"], 1.0)
    assert largest_difference(features.mT, outputs["feats"]) < 1e-5
    mean = lookup_grid(grid, inputs["pts"], PLANE_AXES["panohead"], 1.0)
    assert largest_difference(mean.mT, outputs["feats"].mean(1)) < 1e-5


def test_tri_grid_of_the_3dportraitgan_vectors():
    golden = arrays_of(shared("goldens/3dportraitgan/trigrid.npz"))
    features = sample_grid(as_grid(golden["planes"], 3), golden["x"], PLANE_AXES["panohead"], 1.0)
    assert largest_difference(features.mT, golden["features"]) < 1e-5


def test_as_grid_puts_feature_c_of_slice_d_at_channel_c_times_depth_plus_d():
    planes = torch.randn(2, 3, 4 * 3, 5, 6)
    grid = as_grid(planes, 3)
    assert grid.shape == (2, 3, 4, 3, 5, 6)
    assert torch.equal(grid[:, :, 2, 1], planes[:, :, 2 * 3 + 1])
    assert grid.stride(2) == 1, "features of a texel lie together"


def test_grids_of_ones_fade_at_their_depth():
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, 0.3], [0.0, 0.0, 0.5], [0.0, 0.0, 1.0]]])
    axes = PLANE_AXES["panohead"][:1]
    three = sample_grid(torch.ones(1, 1, 1, 3, 8, 8), points, axes, 1.0)
    assert three[0, 0, 0].tolist() == pytest.approx([1, 1, 0.5, 0])
    one = sample_grid(torch.ones(1, 1, 1, 1, 8, 8), points, axes, 1.0)
    assert one[0, 0, 0].tolist() == pytest.approx([1, 0.7, 0.5, 0])


@pytest.mark.parametrize(("case", "margin"), [("0.1_True", 0.1), ("0.1_False", 0.1), ("0.05_True", 0.05)])
def test_the_crop_is_the_official_one(case: str, margin: float):
    inputs, outputs = golden_case("panohead_ops", f"triplane_crop_mask_{case}")
    assert torch.equal(crop_mask(inputs["xyz"], 1.0, margin), outputs["mask"][..., 0])


def test_the_crop_leaves_the_neck():
    points = torch.tensor([[[0.41, 0.0, 0.0], [0.0, 0.0, -0.41], [0.0, 0.49, 0.4]]])
    assert crop_mask(points, 1.0, 0.1)[0].tolist() == [True, True, False]
    assert not crop_mask(points, 1.6, 0.1).any()
