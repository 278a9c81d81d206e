"""The rasterizer and the numbers under the synthetic people."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.camera import Camera
from pipelines.prior.people import body
from pipelines.prior.people.numbers import smooth, to_linear, to_srgb
from pipelines.prior.people.raster import no_hits, rasterize, rasterize_depth, vertex_normals
from pipelines.prior.people.scene import composite_over, harmonics, view_from
from pipelines.prior.people.shading import irradiance

QUAD = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def drawn(x: Sequence[float], y: Sequence[float], z: Sequence[float], faces: np.ndarray) -> tuple[np.ndarray, ...]:
    inverse = np.array([1 / value if value > 0 else 0 for value in z], np.float32)
    rasterize(np.array(x, np.float32), np.array(y, np.float32), inverse, faces, hits := no_hits(8, 8))
    return hits


def test_depth_is_perspective_correct_and_the_nearer_wins() -> None:
    """A quad from z = 1 at the left edge to z = 3 at the right: 1/z is linear in the image, 2/3 in its middle."""
    nearest, triangle, first, second = drawn([0, 8, 8, 0], [0, 0, 8, 8], [1, 3, 3, 1], QUAD)
    middle = (1 + (1 / 3 - 1) * (np.arange(8) + 0.5) / 8)[None].repeat(8, 0)
    np.testing.assert_allclose(nearest, middle, rtol=1e-5)
    weights = np.stack([first, second, 1 - first - second], -1)
    corners = np.array([[1, 3, 3], [1, 3, 1]], np.float32)[triangle]
    np.testing.assert_allclose((weights * corners).sum(-1), 1 / middle, rtol=1e-4)
    faces = np.concatenate([QUAD, QUAD + 4]).astype(np.int32)
    _, triangle, _, _ = drawn([0, 8, 8, 0] * 2, [0, 0, 8, 8] * 2, [2] * 4 + [1] * 4, faces)
    assert set(triangle.ravel()) <= {2, 3}


def test_small_triangles_are_drawn_and_flat_ones_are_not() -> None:
    """Half a pixel around the center of the first one; three corners on a line through the centers of all in a row."""
    face = np.array([[0, 1, 2]], np.int32)
    _, triangle, _, _ = drawn([0.25, 1.25, 0.25], [0.25, 0.25, 1.25], [1, 1, 1], face)
    assert np.argwhere(triangle == 0).tolist() == [[0, 0]]
    _, triangle, _, _ = drawn([0.5, 4.5, 7.5], [3.5, 3.5, 3.5], [1, 1, 1], face)
    assert (triangle == -1).all()


def test_behind_the_camera_nothing_is_drawn() -> None:
    _, triangle, _, _ = drawn([0, 8, 8, 0], [0, 0, 8, 8], [1, 1, -1, -1], QUAD)
    assert (triangle == -1).all()


def test_parallel_depth_keeps_the_smallest() -> None:
    nearest = np.full((8, 8), 9, np.float32)
    corners = np.array([0, 8, 8, 0], np.float32), np.array([0, 0, 8, 8], np.float32)
    for depth in (5.0, 3.0, 4.0):
        rasterize_depth(*corners, np.full(4, depth, np.float32), QUAD, nearest)
    assert (nearest == 3).all()


def test_normals_point_out_of_a_tetrahedron() -> None:
    points = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32)
    np.testing.assert_allclose(vertex_normals(points, faces), points / np.sqrt(3), atol=1e-6)


def test_colors_there_and_back() -> None:
    values = np.linspace(0, 0.7, 9)
    np.testing.assert_allclose(to_srgb(to_linear(to_srgb(values))), to_srgb(values), atol=1e-6)
    assert to_linear([0.5])[0] == pytest.approx(0.214, abs=1e-3)
    assert smooth(2, 0, np.array([0, 1, 2])).tolist() == [1, 0.5, 0]


def test_a_view_is_a_camera_of_the_priors_head_space() -> None:
    """Radius 2.7 and extent 0.85: focal length 3.176; the origin at the middle, or where the crop puts it."""
    view = view_from(0, 0, 2.7)
    np.testing.assert_allclose(view.label()[:16], Camera.frontal(2.7, 1).label()[0, :16], atol=1e-6)
    assert view.intrinsics[0, 0] == pytest.approx(3.176, abs=1e-3)
    view = view_from(90, 10, 3, roll_deg=5, off_center=(0.02, -0.01), aim=(2, -3))
    np.testing.assert_allclose(
        view.world_from_camera[:3, 3], [3 * np.cos(np.radians(10)), 3 * np.sin(np.radians(10)), 0], atol=1e-6
    )
    inside = np.linalg.inv(view.world_from_camera)[:3, 3]
    np.testing.assert_allclose((view.intrinsics @ inside / inside[2])[:2], [0.52, 0.49], atol=1e-9)
    np.testing.assert_allclose(view.world_from_camera[:3, :3] @ view.world_from_camera[:3, :3].T, np.eye(3), atol=1e-9)


def test_light_from_one_side_falls_on_that_side() -> None:
    sh = np.repeat(harmonics(np.array([1.0, 0, 0]))[:, None], 3, 1)
    front, back = irradiance(1.0, 0.0, 0.0, sh, 0), irradiance(-1.0, 0.0, 0.0, sh, 0)
    assert front == pytest.approx(1, abs=0.1) and abs(back) < 0.1  # of a lamp of strength 1 up to band 2: 1.06 and 0.06


def test_the_background_changes_exactly() -> None:
    alpha = np.array([[0, 255, 128]], np.uint8)
    image = np.full((1, 3, 3), 127, np.uint8)
    assert composite_over(image, alpha, np.zeros((1, 3, 3), np.uint8))[0, :, 0].tolist() == [0, 127, 64]


def test_joints_move_what_belongs_to_them() -> None:
    points = np.array([[0, 12, 0], [0, -40, 0], [19, -20, -2], [-19, -20, -2], [5, -18, 0]], float)
    weights = body.skinning_weights(points, 20)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert weights[0, 1] == 1 and weights[1, 0] == 1 and weights[2, 5] > 0.8 and weights[3, 6] > 0.8
    joints = body.rest_joints(20)
    turned = body.skin_points(points, weights, body.transforms(body.Posture((30, 0, 0)), joints))
    assert turned[0, 2] == pytest.approx(-1.5 + 1.5 * np.cos(np.radians(30)) + 0.0, abs=1.0)
    np.testing.assert_allclose(turned[1:4], points[1:4], atol=0.1)
    raised = body.skin_points(points, weights, body.transforms(body.Posture((0, 0, 0), (10, 10)), joints))
    assert raised[2, 1] > points[2, 1] + 1 and raised[3, 1] > points[3, 1] + 1
    np.testing.assert_allclose(raised[0], points[0], atol=1e-5)
    nose = np.array([[0, 0, 13.0]])
    left = body.skin_points(nose, body.skinning_weights(nose, 20), body.transforms(body.Posture((20, 0, 0)), joints))
    up = body.skin_points(nose, body.skinning_weights(nose, 20), body.transforms(body.Posture((0, 10, 0)), joints))
    assert left[0, 0] > 3 and up[0, 1] > 1
