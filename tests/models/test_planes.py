import pytest
import torch

from models.planes import PLANE_AXES, lookup, project, sample_planes
from tests.reference import golden_case, largest_difference


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
