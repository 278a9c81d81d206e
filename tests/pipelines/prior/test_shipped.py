"""The prior that ships: small, quick to load, and it knows heads."""

import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.camera import Camera
from models.eg3d.generator import EG3D
from models.heads.expression_map import broadcast
from pipelines.artifacts.family import config_of
from pipelines.artifacts.prior import Prior, PriorCodes, load_codes, load_prior
from pipelines.train.pairs import Labeler, render_face

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def prior() -> Prior:
    return load_prior("quick")


@pytest.fixture(scope="module")
def codes(prior: Prior) -> PriorCodes:
    found = load_codes(prior)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def generator(prior: Prior) -> EG3D:
    assert prior.weights is not None
    network = EG3D(config_of(prior))
    network.load_state_dict(load_file(prior.weights), strict=True)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def front(prior: Prior) -> Camera:
    return Camera.from_label(torch.tensor([prior.extra["frontal_camera"]]))


def test_it_is_small_and_loads_at_once(prior: Prior) -> None:
    assert prior.weights is not None and prior.weights.stat().st_size <= 8 * MEGABYTE
    begun = time.process_time()
    network = EG3D(config_of(load_prior("quick")))
    network.load_state_dict(load_file(prior.weights), strict=True)
    assert time.process_time() - begun < 1.0
    assert sum(value.numel() for value in network.parameters()) <= 4_000_000
    assert prior.license == "Apache-2.0" and (prior.folder / "card.md").exists()


@pytest.fixture(scope="module")
def people(codes: PriorCodes) -> torch.Tensor:
    drawn = codes.base + np.random.default_rng(0).normal(size=(6, len(codes.people))) @ codes.people
    return torch.from_numpy(drawn).float()


def faces(generator: EG3D, people: torch.Tensor, camera: Camera, prior: Prior) -> int:
    """In how many renders the tracker finds one."""
    with Labeler("measured", prior.landmarks) as label:
        images = [render_face(generator, one, camera, 320, generator.config.sampling()) for one in people]
        return sum(bool(np.isfinite(label(image)).all()) for image in images)


def test_samples_have_faces_in_front(generator: EG3D, people: torch.Tensor, front: Camera, prior: Prior) -> None:
    assert faces(generator, people, front, prior) >= 5


def test_samples_have_no_faces_behind(generator: EG3D, people: torch.Tensor, front: Camera, prior: Prior) -> None:
    turned = front.world_from_camera.clone()
    turned[:, :3] = torch.tensor([[-1.0, 0, 0], [0, 1, 0], [0, 0, -1]]) @ turned[:, :3]
    behind = Camera(world_from_camera=turned, intrinsics=front.intrinsics)
    assert faces(generator, people, behind, prior) == 0


@pytest.mark.parametrize(
    ("channel", "labels", "least"),
    [
        ("jawOpen", ("jawOpen",), 0.1),
        ("eyeBlinkLeft", ("eyeBlinkLeft", "eyeBlinkRight"), 0.3),
        ("mouthSmileLeft", ("mouthSmileLeft", "mouthSmileRight"), 0.1),
        ("eyeLookOutLeft", ("gazeLeft", "eyeLookOutLeft", "eyeLookInRight"), 0.1),
    ],
)
def test_named_directions_do_what_they_say(
    generator: EG3D, codes: PriorCodes, front: Camera, prior: Prior, channel: str, labels: tuple[str, ...], least: float
) -> None:
    move = torch.from_numpy(codes.directions[[codes.names.index(name) for name in labels]].sum(0))
    base, steps = torch.from_numpy(codes.base), np.linspace(0, 1, 5)
    with Labeler("measured", prior.landmarks) as label:
        shown = [render_face(generator, base + float(t) * move, front, 320, generator.config.sampling()) for t in steps]
        found = np.array([label(image)[label.names.index(channel)] for image in shown])
    assert np.corrcoef(steps, found)[0, 1] > 0.8 and found[-1] - found[0] > least


def test_samples_differ_and_mapping_draws_them(generator: EG3D, front: Camera) -> None:
    z = torch.randn(6, generator.latent.z_dim, generator=torch.Generator().manual_seed(0))
    ws = generator.mapping(z)
    images = torch.cat([generator.synthesis(one[None], front, background=torch.zeros(1, 3, 1, 1)).image for one in ws])
    assert torch.pdist(images.flatten(1)).min() > 0.1 * images[0].numel() ** 0.5
    mean = broadcast(generator.backbone.mapping.w_avg[None], generator.latent.num_ws)
    assert torch.allclose(generator.mapping(z, truncation=0.0), mean.expand_as(ws), atol=1e-5)
