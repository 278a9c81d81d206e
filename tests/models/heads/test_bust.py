"""Our own body: one closed, mirror-symmetric surface with smooth weights and a person's proportions."""

from collections import Counter

import numpy as np
import pytest
import torch

from models.heads.bust import BODIES, JOINTS, body_of_name, bust
from models.heads.skinned_body import SkinnedBody, mirrored


@pytest.fixture(params=list(BODIES))
def body(request: pytest.FixtureRequest) -> SkinnedBody:
    made = body_of_name(request.param)
    assert made is not None
    return made


def edges(body: SkinnedBody) -> Counter[tuple[int, int]]:
    faces = body.faces.tolist()
    return Counter((face[k], face[(k + 1) % 3]) for face in faces for k in range(3))


def test_it_is_watertight(body: SkinnedBody) -> None:
    count = edges(body)
    assert set(count.values()) == {1} and all((b, a) in count for a, b in count)
    assert len(body.vertices) - len(count) // 2 + len(body.faces) == 2
    a, b, c = body.vertices.double()[body.faces].unbind(1)
    volume = float((a * torch.linalg.cross(b, c, dim=1)).sum() / 6)
    assert 0.025 < volume < 0.045, "faces look outward, around some 35 liters"
    area = torch.linalg.cross(b - a, c - a, dim=1).norm(dim=1)
    assert area.min() > 1e-7


def test_it_is_its_own_mirror_image_in_any_pose(body: SkinnedBody) -> None:
    flip = torch.tensor([-1.0, 1.0, 1.0])
    twin = torch.cdist(body.vertices * flip, body.vertices).argmin(1)
    assert torch.equal(body.vertices[twin], body.vertices * flip)
    pose = torch.tensor([[0.1, 0.3, 0.05, 0.1, 0.4, -0.05]])
    assert torch.allclose(body.posed(mirrored(pose))[0, twin], body.posed(pose)[0] * flip, atol=1e-6)
    own, theirs = ({tuple(sorted(face)) for face in faces.tolist()} for faces in (body.faces, twin[body.faces]))
    assert own == theirs


def test_weights_are_shares_that_change_smoothly(body: SkinnedBody) -> None:
    assert body.weights.shape[1] == len(JOINTS) == 6
    assert body.weights.min() >= 0 and torch.allclose(body.weights.sum(1), torch.ones(len(body.weights)), atol=1e-6)
    pairs = torch.tensor(list(edges(body)))
    step = (body.weights[pairs[:, 0]] - body.weights[pairs[:, 1]]).abs().amax(1)
    length = (body.vertices[pairs[:, 0]] - body.vertices[pairs[:, 1]]).norm(dim=1)
    assert (step / length.clamp(min=1e-3)).max() < 30, "of a share a meter: from none to all over 5 cm or more"


def test_the_head_turns_and_the_shoulders_stay(body: SkinnedBody) -> None:
    rest, turned = body.posed(torch.tensor([[0.0] * 6, [0.0, 0.3, 0.0, 0.0, 0.4, 0.0]]))
    moved = (turned - rest).norm(dim=1)
    outer = (rest[:, 0].abs() > 0.15) & (rest[:, 1] < -0.09)
    tip = rest[:, 2].argmax()
    assert moved[outer].max() < 0.01 and moved[tip] > 0.09
    lengths = (turned[body.faces] - turned[body.faces].roll(1, 1)).norm(dim=2)
    before = (rest[body.faces] - rest[body.faces].roll(1, 1)).norm(dim=2)
    assert (lengths / before).min() > 0.4 and (lengths / before).max() < 1.8, "nothing tears or folds"


def test_it_has_a_persons_proportions() -> None:
    body = bust()
    places, tip = body.canonical, body.canonical[body.canonical[:, 2].argmax()]
    head = places[places[:, 1] > 0.1]
    assert places[:, 1].max() == pytest.approx(0.268) and head[:, 0].max() == pytest.approx(0.09, abs=0.003)
    assert head[:, 2].min() == pytest.approx(-0.074, abs=0.003)
    assert tip[2] == pytest.approx(0.154, abs=0.004) and tip[1] == pytest.approx(0.105, abs=0.01) and abs(tip[0]) < 1e-6
    assert np.allclose(body.joints[body.head], (0.0, 0.065, 0.03)) and body.faces.shape == (7176, 3)


def test_other_sizes_and_names() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        bust(10, 10)
    assert body_of_name("somebody's file") is None
