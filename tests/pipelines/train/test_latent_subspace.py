from dataclasses import replace

import numpy as np
import torch

from models.eg3d.config import PERSON_PLANES, UNIT
from models.eg3d.generator import EG3D
from models.heads.expression_map import broadcast
from pipelines.artifacts.prior import PriorCodes
from pipelines.train.latent_subspace import free_directions, make_room

CONFIG = replace(UNIT, w_dim=36, basis_planes=4 + PERSON_PLANES)


def codes() -> PriorCodes:
    """People and faces move the first nine dimensions of w."""
    random = np.random.default_rng(0)
    people, directions = np.zeros((6, 36), np.float32), np.zeros((3, 36), np.float32)
    people[:, :6], directions[:, 6:9] = random.normal(size=(6, 6)), random.normal(size=(3, 3))
    return PriorCodes(
        base=np.zeros(36, np.float32), people=people, directions=directions, names=("a", "b", "c"),
        spread=np.ones(3, np.float32), labels=np.zeros((2, 3), np.float32),
    )  # fmt: skip


def generator() -> EG3D:
    torch.manual_seed(1)
    result = EG3D(CONFIG)
    result.basis_planes.data[-PERSON_PLANES:] = 0.0
    return result.requires_grad_(False)


def planes(network: EG3D, w: torch.Tensor) -> torch.Tensor:
    return network.planes(broadcast(w, network.latent.num_ws))


def test_freed_directions_are_those_nobody_uses() -> None:
    room = free_directions(codes(), 7)
    torch.testing.assert_close(room @ room.T, torch.eye(7), atol=1e-5, rtol=0)
    assert room[:, :9].abs().max() < 1e-5


def test_across_the_room_nothing_changes_and_along_it_nothing_is_heard() -> None:
    before, after, room = generator(), generator(), free_directions(codes(), 7)
    person = torch.randn(36)
    make_room(after, room, person)
    across = torch.randn(3, 9) @ torch.eye(36)[:9]
    along = torch.randn(3, 7) @ room
    torch.testing.assert_close(planes(after, person + across), planes(before, person + across), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(planes(after, person + along), planes(before, person.expand(3, -1)), atol=1e-4, rtol=1e-4)
    assert (planes(before, person + along) - planes(before, person.expand(3, -1))).abs().mean() > 1e-3
    picture = torch.randn(3, CONFIG.decoder_features, 16, 16)
    wide = [
        after.super_resolve(picture, broadcast(person + moved, after.latent.num_ws)) for moved in (along, torch.zeros(3, 36))
    ]
    torch.testing.assert_close(*wide, atol=1e-4, rtol=1e-4)


def test_the_persons_planes_hear_the_room_alone() -> None:
    network, room = generator(), free_directions(codes(), 7)
    person = torch.randn(36)
    make_room(network, room, person)
    own = network.basis_weights(person + torch.randn(5, 9) @ torch.eye(36)[:9])[:, -PERSON_PLANES:]
    assert own.abs().max() < 1e-4
    moved = network.basis_weights(person + torch.randn(500, 7) @ room)[:, -PERSON_PLANES:]
    assert 0.3 < moved.std() / (7 / 36) ** 0.5 < 3


def test_a_held_backbone_is_the_backbone_within_the_room() -> None:
    network, room, person = generator(), free_directions(codes(), 7), torch.randn(36)
    make_room(network, room, person)
    w = person + torch.randn(3, 7) @ room
    before = planes(network, w)
    frozen = network.backbone_share(broadcast(person[None], network.latent.num_ws))
    after = network.planes(broadcast(w, network.latent.num_ws), frozen=frozen)
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)
