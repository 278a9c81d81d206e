from dataclasses import replace

import pytest
import torch

from models.faceshop.pose import camera_at, pose_angles
from models.heads.face3dmm import (
    DISTANCE,
    SIZE,
    TRANSLATION,
    FaceModel,
    camera_of,
    colored,
    posed,
    projected,
    rotation,
    vertex_normals,
)
from tests.faceshop_goldens import golden, toy_model
from tests.reference import compare, largest_difference


def test_faces_are_the_official_ones() -> None:
    official, model = golden("02_face_model"), toy_model()
    shape = model.shape(official["coef_id"], official["coef_exp"])
    faces = posed(model, shape, official["coef_angle"], official["coef_trans"])
    landmarks = faces.pixels[:, model.landmarks]
    ours = {
        "shape": shape, "albedo": model.albedo(official["coef_tex"]), "normals": vertex_normals(shape, model.triangles),
        "rot_for_row_vectors": rotation(official["coef_angle"]).mT, "vertices_cam": faces.points,
        "vertex_color": colored(model, faces, official["coef_tex"], official["coef_gamma"]),
        "landmarks_yup_224": torch.stack([landmarks[..., 0], SIZE - landmarks[..., 1]], -1),
    }  # fmt: skip
    compare(ours, {name: official[name] for name in ours}, 1e-5)


def test_a_generators_camera_sees_what_the_models_sees() -> None:
    """Where the official camera, made of two angles, is off by ten pixels."""
    official = golden("07_pose_conversion")
    angles = official["angles_pitch_yaw_roll"]
    camera = camera_of(angles)
    assert torch.equal(rotation(angles), official["R"])
    opengl = camera.world_from_camera @ torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0]))
    assert largest_difference(opengl, official["cam2world_exact_own"]) < 1e-5
    errors = []
    for one in (camera, camera_at(official["phi_theta_official"])):
        pixels = SIZE * one.project(official["points"].expand(5, -1, -1) / DISTANCE)[0]
        pixels[..., 1] = SIZE - pixels[..., 1]
        errors.append((pixels - official["proj_3dmm_yup_224"]).abs().amax((1, 2)))
    assert errors[0].max() < 1e-3
    assert largest_difference(errors[1], official["max_px_err_official"]) < 0.01 and errors[1].max() > 9
    simple = [0, 1, 2]
    assert largest_difference(pose_angles(camera)[simple], official["phi_theta_official"][simple]) < 1e-5


def test_a_moved_face_is_seen_by_a_moved_camera() -> None:
    model, angles = toy_model(), torch.tensor([[0.2, 0.4, -0.1]])
    translation = torch.tensor([TRANSLATION])
    faces = posed(model, model.mean_shape[None], angles, translation)
    pixels = SIZE * camera_of(angles, translation).project(model.mean_shape[None] / DISTANCE)[0]
    assert largest_difference(pixels, faces.pixels) < 1e-2
    in_units = camera_of(angles, translation, meters_per_unit=0.32)
    pixels = SIZE * in_units.project(model.mean_shape[None] / DISTANCE / 0.32)[0]
    assert largest_difference(pixels, faces.pixels) < 1e-2
    assert largest_difference(projected(torch.tensor([[[0.0, 0.0, 10.0]]])), torch.full((1, 1, 2), 112.0)) == 0


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("triangles", lambda x: x + 50, "beyond its 100"),
        ("landmarks", lambda x: x[:5], "its landmarks is"),
        ("shape_basis", lambda x: x[:9], "its shape_basis is"),
        ("mean_shape", lambda x: x * float("nan"), "not finite"),
        ("expression_names", lambda _: ("smile",), "64 expressions and 1 names"),
    ],
)
def test_an_incomplete_model_is_refused(name: str, change, message: str) -> None:  # type: ignore[no-untyped-def]
    model: FaceModel = toy_model()
    with pytest.raises(ValueError, match=message):
        replace(model, **{name: change(getattr(model, name))})
