"""What 3DPortraitGAN adds to a generator on a tri-grid: poses, a body, and that neither is kept."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.camera import Camera, centered_intrinsics, orbit
from models.generator import Control, RenderSettings
from models.heads.bust import body_of_name, bust
from models.heads.skinned_body import mirrored
from models.portrait3d.config import FOCAL, LOOK_AT, PORTRAIT_SMALL, PORTRAIT_UNIT, RADIUS, PortraitConfig
from models.portrait3d.family import FAMILY
from models.portrait3d.generator import NoBody, Portrait3D
from models.portrait3d.pose_heads import mirrored_label
from tests.models.heads.bodies import rod
from tests.reference import largest_difference

POSE = torch.tensor([[0.1, 0.3, 0.05, 0.1, 0.4, -0.05]])
CONFIG = replace(PORTRAIT_UNIT, ray_start=2.25, ray_end=3.3, c_gen_conditioning_zero=False)


def network(config: PortraitConfig = CONFIG) -> Portrait3D:
    torch.manual_seed(0)
    return Portrait3D(config)


def cameras(count: int) -> Camera:
    poses = orbit(torch.linspace(0.6, 2.5, count), torch.linspace(1.4, 1.7, count), RADIUS, LOOK_AT)
    return Camera(world_from_camera=poses, intrinsics=centered_intrinsics(FOCAL).expand(count, -1, -1))


def latents(generator: Portrait3D, count: int) -> Tensor:
    z = torch.randn(count, generator.latent.z_dim, generator=torch.Generator().manual_seed(3))
    return generator.mapping(z, cameras(count).label())


@torch.no_grad()
def test_a_batch_of_three_is_three_batches_of_one() -> None:
    generator = network()
    ws, camera, pose = latents(generator, 3), cameras(3), POSE * torch.tensor([[1.0], [-0.7], [0.4]])
    together = generator.render(generator.prepare(Control(ws=ws, deformation=pose)), camera)
    for row in range(3):
        rows = slice(row, row + 1)
        alone = generator.render(generator.prepare(Control(ws=ws[rows], deformation=pose[rows])), camera[row])
        for name in ("image", "raw", "depth", "alpha"):
            assert largest_difference(getattr(together, name)[rows], getattr(alone, name)) < 1e-5, name


@torch.no_grad()
def test_a_pose_of_zeros_is_the_person_at_rest_and_another_is_not() -> None:
    generator = network()
    ws, camera = latents(generator, 1), cameras(1)
    rest, zero, turned = (
        generator.render(generator.prepare(Control(ws=ws, deformation=pose)), camera).alpha
        for pose in (None, torch.zeros(1, 6), POSE)
    )
    assert largest_difference(rest, zero) < 1e-4 and largest_difference(rest, turned) > 1e-3


@torch.no_grad()
def test_points_of_a_bent_scene_are_those_at_rest() -> None:
    generator = network()
    ws, points = latents(generator, 1), torch.randn(1, 200, 3, generator=torch.Generator().manual_seed(1)) * 0.15
    rest, bent = (generator.prepare(Control(ws=ws, deformation=pose)) for pose in (None, POSE))
    there = generator.by_body.of(POSE)(points)
    for ours, wanted in zip(bent.field(points), rest.field(there), strict=True):
        assert torch.equal(ours, wanted)
    assert torch.equal(bent.density(points), rest.density(there))


def test_the_picture_moves_the_pose_head() -> None:
    generator, camera = network(), cameras(2)
    z = torch.randn(2, generator.latent.z_dim)
    pose = generator.body_pose(z, camera.label())
    scene = generator.prepare(Control(ws=latents(generator, 2).detach(), deformation=pose))
    generator.render(scene, camera, RenderSettings()).image.square().sum().backward()
    assert all(one.grad is not None and one.grad.any() for one in generator.pose_branch.parameters())


def test_poses_are_symmetric_and_vary_with_the_latent() -> None:
    generator, label = network(), cameras(4).label()
    z = torch.randn(4, generator.latent.z_dim, generator=torch.Generator().manual_seed(1))
    pose = generator.body_pose(z, label)
    assert largest_difference(generator.body_pose(z, mirrored_label(label)), mirrored(pose)) < 1e-6
    assert not torch.allclose(generator.body_pose(z.flip(0), label), pose)


def test_the_mapping_sees_a_pose() -> None:
    generator, label = network(), cameras(1).label()
    z = torch.randn(1, generator.latent.z_dim)
    plain, zero = generator.mapping(z, label), generator.mapping(z, torch.cat([label, torch.zeros(1, 6)], 1))
    assert torch.equal(plain, zero) and not torch.equal(plain, generator.mapping(z, torch.cat([label, POSE], 1)))


def test_a_state_holds_no_body() -> None:
    generator = network(replace(PORTRAIT_SMALL, body="bust"))
    body = generator.by_body.body
    generator.wear(bust())
    sizes = {value.numel() for value in (body.vertices, body.faces, body.weights, generator.by_body.faces)}
    assert not any(value.numel() in sizes for value in generator.state_dict().values())
    assert not any("body" in name for name in generator.state_dict())


def test_a_network_wears_its_own_body_alone() -> None:
    generator = network()
    other = body_of_name("bust")
    assert other is not None
    with pytest.raises(ValueError, match="trained with the body coarse bust"):
        generator.wear(other)
    of_file = network(replace(CONFIG, body=rod().identity))
    ws = latents(of_file, 1)
    assert of_file.prepare(Control(ws=ws)).warp is None, "at rest it needs none"
    with pytest.raises(NoBody, match="needs the body"):
        of_file.prepare(Control(ws=ws, deformation=POSE))
    of_file.wear(rod())
    assert of_file.prepare(Control(ws=ws, deformation=POSE)).warp is not None
    with pytest.raises(ValueError, match="trained with the body smpl"):
        network(replace(CONFIG, body="smpl")).wear(rod())


@torch.no_grad()
def test_ablations_bend_otherwise_or_not_at_all() -> None:
    pictures = {}
    for rule in ("face", "skin", "rignerf", "none"):
        generator = network(replace(CONFIG, warp=rule))
        scene = generator.prepare(Control(ws=latents(generator, 1), deformation=POSE))
        pictures[rule] = generator.render(scene, cameras(1)).alpha
    assert not any(torch.equal(pictures["face"], pictures[other]) for other in ("skin", "rignerf", "none"))


def test_its_frame_is_meters_from_the_neck() -> None:
    frame = FAMILY.frame
    assert frame.scale == pytest.approx(1.0) and frame.crop_extent == pytest.approx(2 * 0.20736, abs=1e-4)
    crown = frame.points(frame.head_points(bust().canonical.double().numpy()))[-1]
    assert crown.tolist() == pytest.approx([0.0, 0.268, 0.028], abs=1e-6) and frame.matte_region == "head and shoulders"
    with pytest.raises(ValueError, match="reach 0 is not above 0"):
        replace(PORTRAIT_UNIT, reach=0)
