"""The warp by nearest faces: against the official vectors, and its own laws."""

from collections.abc import Callable

import pytest
import torch

from models.heads.bust import bust
from models.heads.mesh_warp import REACH, MeshWarp, Rule, moved, rigid_transfers, surface_offset
from models.heads.skinned_body import SkinnedBody, rotation
from tests.models.heads.bodies import rod, smpl_like, vectors
from tests.reference import largest_difference

RULES: tuple[Rule, ...] = ("face", "skin")
TURN = torch.tensor([[0.1, 0.3, 0.05, 0.1, 0.4, -0.05]])


def points_around(count: int, spread: float = 0.2) -> torch.Tensor:
    return torch.randn(1, count, 3, generator=torch.Generator().manual_seed(1)) * spread


def test_points_move_as_officially() -> None:
    golden = vectors("deform")
    assert float(golden["thickness"]) == REACH
    warped = MeshWarp(smpl_like()).of(golden["pose"])(golden["query"])
    away = (golden["distance"] - REACH).abs() > 1e-5
    assert away.float().mean() > 0.99
    assert largest_difference(warped[away], golden["deformed"][away]) < 1e-6


def test_the_poses_gradient_is_the_official_one() -> None:
    golden, pose = vectors("deform"), vectors("deform")["pose"].requires_grad_()
    warped = MeshWarp(smpl_like()).of(pose)(golden["query"])
    (gradient,) = torch.autograd.grad((warped * golden["grad_weight"])[golden["grad_mask"]].sum(), pose)
    assert largest_difference(gradient, golden["grad_pose"]) < 1e-3 * float(golden["grad_pose"].abs().max())


def test_rignerfs_variant_moves_points_as_its_equation() -> None:
    golden = vectors("deform")
    warped = MeshWarp(smpl_like(), rule="rignerf").of(golden["pose"])(golden["query"])
    assert largest_difference(warped, golden["deformed_rignerf"]) < 1e-6
    point, surface = torch.tensor([[[0.0, 1.0, 0.0]]]), torch.zeros(1, 1, 3)
    offset = surface_offset(point, surface, surface + 1.0)
    assert offset[0, 0].tolist() == pytest.approx([0.3679, 1.3679, 0.3679], abs=1e-4)


@pytest.mark.parametrize("rule", ["face", "skin", "rignerf"])
def test_at_rest_nothing_moves(rule) -> None:
    points = points_around(2000)
    assert largest_difference(MeshWarp(bust(), rule=rule).of(torch.zeros(1, 6))(points), points) < 1e-6


def test_three_bodies_at_once_are_one_at_a_time() -> None:
    """The authors' frames mix the bodies of a batch of three."""
    warp, poses = MeshWarp(bust(20, 24)), TURN * torch.tensor([[1.0], [-0.5], [0.3]])
    points = points_around(300).expand(3, -1, -1)
    together = warp.of(poses)(points)
    for row in range(3):
        assert largest_difference(together[row : row + 1], warp.of(poses[row : row + 1])(points[:1])) < 1e-6


def test_points_beyond_the_reach_stay_and_those_on_the_surface_follow_it() -> None:
    body, warp = bust(), MeshWarp(bust())
    far = points_around(500, 0.04) + torch.tensor([0.0, 0.0, 0.6])
    assert torch.equal(warp.of(TURN)(far), far)
    posed = body.posed(TURN)
    kept = warp.faces.unique()
    assert largest_difference(warp.of(TURN)(posed[:, kept])[0], body.canonical[kept]) < 0.02


def test_a_rigid_turn_is_undone_exactly() -> None:
    """Every frame turns alike where one joint has all of the weight."""
    body = rod()
    body.weights[:] = torch.tensor([0.0, 1.0, 0.0])
    pose, points = TURN * torch.tensor([1.0, 1, 1, 0, 0, 0]), points_around(200, 0.05)
    turned = points @ rotation(pose[:, :3]).mT
    assert largest_difference(MeshWarp(body).of(pose)(turned), points) < 1e-6


def stretched(rule: Rule, apart: float = 2.5e-4) -> torch.Tensor:
    """How far points within 1 cm of the surface come to lie from others 0.25 mm away, in these."""
    warp, random = MeshWarp(bust(), rule=rule), torch.Generator().manual_seed(0)
    posed = warp.body.posed(TURN)[0]
    skin = posed[warp.faces.unique()]
    points = skin[torch.randint(len(skin), (20_000,), generator=random)]
    points = (points + 0.004 * torch.randn(points.shape, generator=random))[None]
    points = points[:, warp.tree.nearest(posed, points[0]).distance < 0.01]
    step = apart * torch.nn.functional.normalize(torch.randn(points.shape, generator=random), dim=2)
    return (warp.of(TURN)(points + step) - warp.of(TURN)(points)).norm(dim=2)[0] / apart


def test_skin_tears_far_less_than_faces() -> None:
    torn = {rule: float((stretched(rule) > 2).float().mean()) for rule in RULES}
    assert torn["face"] > 0.005 and torn["skin"] < 0.1 * torn["face"]


@pytest.mark.parametrize("body", [rod, bust])
def test_skin_takes_the_surface_to_where_it_was(body: Callable[[], SkinnedBody]) -> None:
    warp = MeshWarp(body(), rule="skin")
    kept = warp.faces.unique()
    posed = warp.body.posed(TURN)[:, kept]
    assert largest_difference(warp.of(TURN)(posed)[0], warp.body.canonical[kept]) < 1e-5
    far = points_around(500, 0.04) + torch.tensor([0.0, 0.0, 0.6])
    assert torch.equal(warp.of(TURN)(far), far)


def test_skin_undoes_a_files_corrections_too() -> None:
    warp, pose = MeshWarp(smpl_like(), rule="skin"), vectors("deform")["pose"][1:2]
    posed = warp.body.posed(pose)
    kept = warp.faces.unique()
    assert largest_difference(warp.of(pose)(posed[:, kept])[0], warp.body.canonical[kept]) < 1e-5


def test_skins_gradient_is_that_of_its_map() -> None:
    warp, points = MeshWarp(bust(20, 24), rule="skin"), points_around(200)
    weight = torch.randn(1, 200, 3, generator=torch.Generator().manual_seed(2))
    pose = torch.zeros(1, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad((warp.of(pose)(points) * weight).sum(), pose)
    for number in range(6):
        change = torch.zeros(1, 6)
        change[0, number] = 2e-3
        ends = [float((warp.of(sign * change)(points) * weight).sum()) for sign in (1, -1)]
        assert (ends[0] - ends[1]) / 4e-3 == pytest.approx(float(gradient[0, number]), rel=0.15, abs=0.3)


def test_gradients_reach_the_pose_and_the_points() -> None:
    warp, pose = MeshWarp(bust(20, 24)), TURN.clone().requires_grad_()
    points = points_around(200).requires_grad_()
    weight = torch.randn(1, 200, 3, generator=torch.Generator().manual_seed(2))
    value = (warp.of(pose)(points) * weight).sum()
    of_pose, of_points = torch.autograd.grad(value, (pose, points))
    assert torch.isfinite(of_pose).all() and of_pose.abs().min() > 0 and torch.isfinite(of_points).all()
    step = 1e-3
    for number in range(6):
        change = torch.zeros(1, 6)
        change[0, number] = step
        posed = [warp.body.posed(pose.detach() + sign * change) for sign in (1, -1)]
        face = warp.tree.nearest(warp.body.posed(pose.detach())[0], points.detach()[0], REACH).face[None]
        ends = [
            (moved(points.detach(), rigid_transfers(one, warp.body.canonical, warp.faces), face) * weight).sum()
            for one in posed
        ]
        assert float(ends[0] - ends[1]) / (2 * step) == pytest.approx(float(of_pose[0, number]), rel=0.02, abs=0.05)
