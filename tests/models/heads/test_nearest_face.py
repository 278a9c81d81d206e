"""The hierarchy finds what comparing every face with every point finds, and says which of several equals."""

import pytest
import torch
from torch import Tensor

from models.heads.bust import bust
from models.heads.nearest_face import FaceTree
from models.heads.nearest_face_search import TIE
from tests.models.heads.bodies import smpl_like, vectors
from tests.reference import largest_difference


def every_distance(points: Tensor, corners: Tensor) -> Tensor:
    """[N,F] squared distances by another way: the plane where the foot lies within, else the nearest of three segments."""
    a, b, c = corners.double().unbind(1)
    points = points.double()[:, None]
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a, dim=1), dim=1)
    height = ((points - a) * normal).sum(-1)
    foot = points - height[..., None] * normal
    sides = [
        (torch.linalg.cross((t - s).expand_as(foot), foot - s, dim=2) * normal).sum(-1) for s, t in ((a, b), (b, c), (c, a))
    ]
    segments = [_segment(points, s, t) for s, t in ((a, b), (b, c), (c, a))]
    within = (torch.stack(sides) >= 0).all(0)
    return torch.where(within, height.square(), torch.stack(segments).amin(0))


def _segment(points: Tensor, start: Tensor, end: Tensor) -> Tensor:
    along = end - start
    share = (((points - start) * along).sum(-1) / along.square().sum(-1)).clamp(0, 1)
    return (points - start - share[..., None] * along).square().sum(-1)


def points_around(count: int, spread: float = 0.25) -> Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(1)) * spread


@pytest.mark.parametrize("faces", [1, 2, 3, 5, 40, 896])
def test_it_equals_comparing_all(faces: int) -> None:
    body = bust(14, 32)
    chosen = body.faces[:faces]
    posed, points = body.posed(torch.tensor([[0.1, 0.3, 0.0, 0.1, 0.4, 0.0]]))[0], points_around(400)
    nearest = FaceTree(body.canonical, chosen).nearest(posed, points)
    squares = every_distance(points, posed[chosen])
    assert largest_difference(nearest.distance.square(), squares.amin(1)) < 1e-12
    excess = squares.gather(1, nearest.face[:, None])[:, 0] - squares.amin(1)
    assert excess.max() < 2 * TIE
    surface = (nearest.weights[..., None] * posed.double()[chosen][nearest.face]).sum(1)
    assert largest_difference((points.double() - surface).norm(dim=1), nearest.distance) < 1e-9
    assert nearest.weights.min() > -1e-12


def test_the_official_faces_are_found_ties_included() -> None:
    golden, body = vectors("deform"), smpl_like()
    tree = FaceTree(body.canonical, body.faces[golden["face_mask"]])
    for row in range(len(golden["pose"])):
        nearest = tree.nearest(golden["posed"][row], golden["query"][row])
        assert torch.equal(nearest.face, golden["face"][row].long())
        assert largest_difference(nearest.distance, golden["distance"][row]) < 1e-6


def test_of_equal_faces_the_first_counts() -> None:
    square = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    point = torch.tensor([[0.5, 0.5, 0.3]])
    for order in ([0, 1], [1, 0]):
        assert FaceTree(square, faces[order]).nearest(square, point).face.item() == 0


def test_what_is_out_of_reach_has_no_face_and_order_changes_nothing() -> None:
    body, points = bust(14, 32), points_around(500, 0.4)
    tree = FaceTree(body.canonical, body.faces)
    near, all_of_them = tree.nearest(body.canonical, points, 0.1), tree.nearest(body.canonical, points)
    within = all_of_them.distance < 0.1
    assert 0.05 < within.float().mean() < 0.9
    assert torch.equal(near.face, torch.where(within, all_of_them.face, len(body.faces)))
    assert (near.distance[~within] == 0.1).all() and not near.weights[~within].any()
    backward = tree.nearest(body.canonical, points.flip(0))
    assert torch.equal(backward.face.flip(0), all_of_them.face)
    assert torch.equal(backward.distance.flip(0), all_of_them.distance)
