import math

import pytest
import torch

from models.camera import Camera, centered_intrinsics, orbit
from tests.reference import largest_difference


def tilted(count: int = 2) -> Camera:
    """Cameras around the head with a principal point off the center and some skew."""
    intrinsics = torch.tensor([[2.1, 0.05, 0.47], [0.0, 2.4, 0.52], [0.0, 0.0, 1.0]]).repeat(count, 1, 1)
    return Camera(world_from_camera=orbit(torch.linspace(1.2, 1.9, count), 1.4, 2.7), intrinsics=intrinsics)


def test_the_frontal_camera_looks_at_the_face():
    camera = Camera.frontal(2.7, 4.2647)
    expected = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    expected[2, 3] = 2.7
    assert largest_difference(camera.world_from_camera[0], expected) < 1e-6
    assert math.degrees(2 * math.atan(0.5 / camera.intrinsics[0, 0, 0].item())) == pytest.approx(13.37, abs=0.01)


def test_projecting_a_point_on_a_ray_gives_its_pixel_center():
    camera = tilted()
    origins, directions = camera.rays((3, 5))
    pixels, depth = camera.project(origins + 1.7 * directions)
    assert largest_difference(pixels[0, 7], torch.tensor([2.5 / 5, 1.5 / 3])) < 1e-5
    assert (depth > 0).all()
    assert directions.norm(dim=2).sub(1).abs().max() < 1e-6


def test_a_crop_sees_what_the_image_saw_there():
    camera = tilted()
    crop = camera.cropped((0.25, 0.5, 0.5, 0.75))
    part = camera.rays(8)[1].view(2, 8, 8, 3)[:, 4:6, 2:4].reshape(2, 4, 3)
    assert largest_difference(crop.rays(2)[1], part) < 1e-6


def test_crop_worked_number_and_one_box_a_camera():
    half = Camera.frontal(2.7, 2.0).cropped((0.25, 0.25, 0.75, 0.75))
    assert largest_difference(half.intrinsics, centered_intrinsics(4.0)) < 1e-6
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [-0.5, -0.5, 1.5, 1.5]])
    cameras = tilted().cropped(boxes)
    assert largest_difference(cameras.intrinsics[0], tilted().intrinsics[0]) < 1e-6
    assert cameras.intrinsics[1, 0, 0].item() == pytest.approx(2.1 / 2)


def test_a_mirrored_camera_sees_the_flipped_image_of_the_mirrored_world():
    camera, mirror = tilted(), torch.tensor([-1.0, 1.0, 1.0])
    (origins, directions), (there, mirrored) = camera.rays((3, 5)), camera.mirrored().rays((3, 5))
    flipped = mirrored.view(2, 3, 5, 3).flip(2).reshape(2, 15, 3)
    assert largest_difference(there, origins * mirror) < 1e-6
    assert largest_difference(flipped, directions * mirror) < 1e-6
    assert torch.equal(camera.mirrored().mirrored().world_from_camera, camera.world_from_camera)


def test_mirroring_changes_the_label_where_the_release_forgot_to():
    camera = tilted(1)
    before, after = camera.label()[0], camera.mirrored().label()[0]
    changed = (before != after).nonzero().flatten().tolist()
    assert changed == [index for index in (1, 2, 3, 4, 8, 17, 18) if index == 17 or before[index] != 0]
    assert after[[1, 2, 3, 4, 8]].tolist() == (-before[[1, 2, 3, 4, 8]]).tolist()
    assert after[18].item() == pytest.approx(1 - before[18].item())
    frontal = Camera.frontal(2.7, 4.2647)
    assert largest_difference(frontal.mirrored().label(), frontal.label()) < 1e-6
    side = torch.eye(4)[None].clone()
    side[:, :3, 3] = torch.tensor([1.0, 0.0, 2.0])
    camera = Camera(world_from_camera=side, intrinsics=centered_intrinsics(2.0) - torch.tensor([0.0, 0.0, 0.1])).mirrored()
    assert camera.world_from_camera[0, :3, 3].tolist() == [-1, 0, 2]
    assert camera.intrinsics[0, 0, 2].item() == pytest.approx(0.6)


def test_labels_are_row_major_and_come_back():
    camera = tilted()
    label = camera.label()
    assert label.shape == (2, 25)
    assert label[0, 3] == camera.world_from_camera[0, 0, 3]
    assert label[0, 18] == camera.intrinsics[0, 0, 2]
    assert torch.equal(Camera.from_label(label).intrinsics, camera.intrinsics)


def test_choosing_cameras_keeps_a_batch():
    camera = tilted(3)
    assert len(camera[1]) == 1
    assert len(camera[torch.tensor([2, 0])]) == 2
    assert torch.equal(camera[[2]][0].world_from_camera, camera[2].world_from_camera)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\[B,4,4\] poses"):
        Camera(world_from_camera=torch.eye(4), intrinsics=torch.eye(3))
