"""The three phases against the official vectors, and the schedules."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.generator import RenderSettings
from models.networks.stylegan2.resampling import resize
from models.portrait3d import objectives
from models.portrait3d.discriminator import PoseDiscriminator
from models.portrait3d.generator import Portrait3D
from models.portrait3d.objectives import Draw
from models.training.schedules import blur_sigma, ema_decay
from tests.material import shared
from tests.models.heads.bodies import FOLDER, vectors
from tests.models.portrait3d.reference import discriminator, generator, quiet
from tests.reference import Tensors, largest_difference

Networks = tuple[Portrait3D, PoseDiscriminator]


@pytest.fixture(scope="module")
def networks() -> Networks:
    both = generator(), discriminator()
    quiet(*both)
    return both


@pytest.fixture(scope="module")
def golden() -> Tensors:
    with_images = vectors("losses")
    seg = torch.from_numpy(np.load(shared(f"{FOLDER}/losses.npz"))["seg"]).float()
    return with_images | {"seg": seg}


def expected(case: str, phase: str) -> dict[str, Any]:
    return json.loads(shared(f"{FOLDER}/losses.json").read_text())["cases"][f"{case}/{phase}"]


def draw_of(golden: Tensors) -> Draw:
    yes = torch.ones(2, dtype=torch.bool)
    return Draw(
        z=golden["z"], label=golden["gen_label"], coarse_pose=golden["gen_coarse_pose"], swap=yes, background_swap=yes
    )  # fmt: skip


def real_of(golden: Tensors) -> Tensors:
    image = golden["real"].float()
    return {"image": image, "image_raw": resize(image, 32), "image_mask": resize(golden["seg"], 32)}


def check_gradients(network: nn.Module, other: nn.Module, loss: Tensor, golden: Tensors, case: str, phase: str) -> None:
    """Norms of some gradients, and the whole one of the pose head's last bias."""
    for one in (network, other):
        one.zero_grad(set_to_none=True)
    loss.backward()
    gradients = {name: one.grad for name, one in network.named_parameters()}
    for name, norm in expected(case, phase)["grad_norm"].items():
        gradient = gradients[name]
        assert (0.0 if gradient is None else float(gradient.norm())) == pytest.approx(norm, rel=1e-3), name
    (full,) = [name for name in golden if name.startswith(f"{case}/{phase}/grad/")]
    gradient, wanted = gradients[full.rpartition("/")[2]], golden[full]
    if wanted.any():
        assert gradient is not None
        assert largest_difference(gradient, wanted) < 1e-3 * float(wanted.abs().max())
    else:
        assert gradient is None or not gradient.any(), "the pose that conditions the score is a constant"


@pytest.mark.parametrize(("case", "images"), [("A_100k", 100_000), ("B_300k", 300_000), ("C_500k", 500_000)])
def test_the_generators_phase(networks: Networks, golden: Tensors, case: str, images: int) -> None:
    network, judge = networks
    draw, weight, figures = draw_of(golden), objectives.coarse_pose_weight(images), expected(case, "Gboth")["reported"]
    fakes = objectives.generated(network, draw, RenderSettings(), noise="const")
    loss = objectives.generator_phase(fakes, draw, judge, sigma=blur_sigma(images), pose_weight=weight)
    held = weight * objectives.pose_distance(fakes.pose, draw.coarse_pose)
    assert float(held) == pytest.approx(figures["Loss/D/input_pose_params_reg_loss"], rel=1e-3)
    assert float(loss - held) == pytest.approx(figures["Loss/G/loss"], rel=1e-3)
    check_gradients(network, judge, loss, golden, case, "Gboth")


@pytest.mark.parametrize(("case", "images"), [("A_100k", 100_000), ("B_300k", 300_000)])
def test_the_discriminators_phase(networks: Networks, golden: Tensors, case: str, images: int) -> None:
    network, judge = networks
    draw, figures = draw_of(golden), expected(case, "Dmain")["reported"]
    with torch.no_grad():
        fakes = objectives.generated(network, draw, RenderSettings(), noise="const")
    loss = objectives.discriminator_phase(
        fakes, draw, real_of(golden), golden["real_label"], judge, sigma=blur_sigma(images)
    )  # fmt: skip
    assert float(loss.detach()) == pytest.approx(figures["Loss/D/loss"] + figures["Loss/D/Poseloss"], rel=1e-3)
    check_gradients(judge, network, loss, golden, case, "Dmain")


def test_the_penalty(networks: Networks, golden: Tensors) -> None:
    network, judge = networks
    loss = objectives.penalty_phase(real_of(golden), golden["real_label"], judge, sigma=blur_sigma(100_000))
    figures = expected("A_100k", "Dreg")["reported"]
    assert float(loss.detach()) == pytest.approx(figures["Loss/D/reg"], rel=1e-3)
    check_gradients(judge, network, loss, golden, "A_100k", "Dreg")
    doubled = objectives.penalty_phase(real_of(golden), golden["real_label"], judge, sigma=blur_sigma(100_000), mask_gamma=2.0)
    assert float(doubled - loss) == pytest.approx(figures["Loss/r1_penalty_seg"] / 2, rel=1e-3)


def test_schedules_are_the_papers() -> None:
    million = 1_000_000
    assert [objectives.coarse_pose_weight(images) for images in (0, 100_000, 200_000, 300_000, 400_000, 500_000)] == (
        pytest.approx([0.5, 0.5, 0.5, 0.25, 0.0, 0.0])
    )
    assert [objectives.condition_swap(images) for images in (0, 500_000, 2 * million)] == pytest.approx([1.0, 0.85, 0.7])
    sizes = [objectives.raw_size(images * million) for images in (0, 9.9, 10, 10.5, 11, 13)]
    assert sizes == [64, 64, 64, 96, 128, 128]
    assert [objectives.density_noise(images) for images in (0, 100_000, million)] == [1.0, 0.5, 0.0]
    assert objectives.learns_poses(5.9 * million) and not objectives.learns_poses(6 * million)
    assert blur_sigma(100_000) == 5
    assert ema_decay(32, 10_000, 0) == 0 and ema_decay(32, 10_000, 200_000) == pytest.approx(0.5 ** (32 / 10_000))


def test_the_swaps_are_the_neighbors(networks: Networks, golden: Tensors) -> None:
    network, _ = networks
    draw, some = draw_of(golden), torch.tensor([True, False])
    with torch.no_grad():
        both = objectives.generated(network, draw, RenderSettings(), noise="const")
        one = objectives.generated(
            network, Draw(**vars(draw) | {"swap": some, "background_swap": ~some}), RenderSettings(), noise="const"
        )
    assert torch.equal(one.pose, both.pose), "what is rendered is never swapped"
    assert torch.equal(one.ws[0], both.ws[0]) and not torch.equal(one.ws[1], both.ws[1])
