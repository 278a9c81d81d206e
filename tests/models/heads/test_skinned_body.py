"""Linear blend skinning: against the official vectors, and what must hold for any body."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from models.heads.bust import bust
from models.heads.skinned_body import ROOT, SkinnedBody, mirrored, rotation
from tests.models.heads.bodies import rod, smpl_arrays, smpl_like, vectors
from tests.reference import largest_difference

TURN = torch.tensor([[0.1, 0.3, 0.05, 0.1, 0.4, -0.05]])


def test_a_smpl_file_is_posed_as_officially() -> None:
    golden, body = vectors("deform"), smpl_like()
    assert largest_difference(body.canonical, golden["canonical"]) < 2e-7
    assert largest_difference(body.posed(golden["pose"]), golden["posed"]) < 2e-7
    assert torch.equal(body.inside(float(golden["box"])), golden["face_mask"])


def test_mirrored_poses_mirror_the_body() -> None:
    golden, body = vectors("posed_mirror"), smpl_like()
    body = replace(body, corrections=None)
    assert largest_difference(body.posed(golden["pose"]), golden["posed"]) < 1e-6
    flipped = body.posed(mirrored(golden["pose"]))
    assert torch.equal(mirrored(golden["pose"]), golden["pose_flipped"])
    mirror = flipped[:, golden["mirror_vertex"]] * torch.tensor([-1.0, 1.0, 1.0])
    assert largest_difference(mirror, golden["posed"]) < 1e-6


@pytest.mark.parametrize("make", [rod, bust])
def test_a_pose_of_zeros_is_rest_and_the_neck_stays(make: Callable[[], SkinnedBody]) -> None:
    body = make()
    assert largest_difference(body.posed(torch.zeros(2, 6)), body.canonical.expand(2, -1, -1)) < 1e-6
    body = replace(body, vertices=torch.cat([body.vertices, body.joints[body.neck][None]]), corrections=None,
                   weights=torch.cat([body.weights, torch.eye(len(body.parents))[body.neck][None]]))  # fmt: skip
    assert largest_difference(body.posed(TURN)[0, -1], torch.zeros(3)) < 1e-6


def test_a_batch_is_its_rows() -> None:
    body, poses = bust(), torch.randn(3, 6, generator=torch.Generator().manual_seed(0)) * 0.4
    together = body.posed(poses)
    assert all(largest_difference(together[row : row + 1], body.posed(poses[row : row + 1])) < 1e-6 for row in range(3))


def test_the_head_turns_with_the_neck() -> None:
    body, quarter = rod(), torch.tensor([[0.0, np.pi / 2, 0.0, 0.0, 0.0, 0.0]], dtype=torch.float32)
    top = body.posed(quarter)[0, -4:]
    share = body.weights[-4:, 1:].sum(1, keepdim=True)
    turned = body.canonical[-4:] @ rotation(quarter[:, :3])[0].T
    assert largest_difference(top, torch.lerp(body.canonical[-4:], turned, share)) < 1e-6


def test_rotations_are_smooth_at_zero_and_turn_by_their_length() -> None:
    vector = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    for row, column, axis in ((2, 1, 0), (0, 2, 1), (1, 0, 2)):
        (gradient,) = torch.autograd.grad(rotation(vector)[0, row, column], vector)
        assert torch.equal(gradient[0], torch.eye(3, dtype=torch.float64)[axis])
    turn = rotation(torch.tensor([[0.0, 0.0, np.pi / 2]]))[0]
    assert largest_difference(turn, torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])) < 1e-6
    many = rotation(torch.randn(50, 3, dtype=torch.float64) * 2)
    assert largest_difference(many @ many.mT, torch.eye(3, dtype=torch.float64).expand(50, 3, 3)) < 1e-12


def test_the_identity_is_of_the_shape_and_not_of_the_pose_corrections() -> None:
    body = rod()
    assert body.identity == rod().identity and len(body.identity) == 64
    assert replace(body, vertices=body.vertices + 1e-8).identity == body.identity
    assert replace(body, vertices=body.vertices * 1.001).identity != body.identity
    assert replace(body, faces=body.faces.flip(0)).identity != body.identity
    assert rod(7).identity != body.identity


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"weights": torch.ones(24, 2)}, "weights are"),
        ({"parents": (-1, 2, 1)}, "after their parents"),
        ({"faces": torch.full((1, 3), 99)}, "beyond its 24"),
        ({"neck": 0}, "behind the first"),
        ({"corrections": torch.zeros(24, 3, 9)}, "corrections are"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(rod(), **changes)


def test_a_smpl_file_without_an_array_is_refused() -> None:
    arrays = smpl_arrays()
    assert int(arrays["kintree_table"][0, 0]) == ROOT and SkinnedBody.from_smpl(arrays).parents[0] == -1
    del arrays["weights"]
    with pytest.raises(ValueError, match="the arrays weights too"):
        SkinnedBody.from_smpl(arrays)
