from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.heads.face3dmm import DISTANCE, posed
from models.heads.face_files import load_face_model
from models.rendering.mesh import rasterize
from tests.material import shared


def test_ict_is_a_face_in_decimeters() -> None:
    model = load_face_model(shared("ict/ict_facekit.npz"))
    assert model.expression_basis.shape[-1] == len(model.expression_names) == 53 and model.license.startswith("MIT")
    assert model.shape_basis.shape[-1] == 40 and model.albedo_basis.shape[-1] == 3
    points = model.shape(torch.zeros(1, 40), torch.zeros(1, 53))[0, model.landmarks]
    eyes = points[36:42].mean(0), points[42:48].mean(0)
    assert eyes[0][0] < 0 < eyes[1][0], "the eye on the image's left first"
    assert 0.55 < (eyes[1] - eyes[0]).norm() < 0.75, "dm between the eyes"
    assert points[8, 1] < points[57, 1] < points[30, 1] < eyes[0][1] and points[30, 2] > eyes[0][2]
    faces = posed(model, model.mean_shape[None], torch.zeros(1, 3), torch.zeros(1, 3))
    mask = rasterize(faces.pixels, faces.points[..., 2], model.triangles, 224).mask
    assert 0.25 < mask.mean() < 0.9
    nose = faces.normals[0, model.landmarks[30]]
    assert nose[2] > 0.5, "normals point out of the face"
    assert DISTANCE - faces.points[0, model.landmarks[30], 2] > 0


def test_an_expression_moves_what_it_names() -> None:
    model = load_face_model(shared("ict/ict_facekit.npz"))
    weights = torch.zeros(1, 53)
    weights[0, model.expression_names.index("jawOpen")] = 1.0
    moved = model.shape(torch.zeros(1, 40), weights)[0] - model.mean_shape
    lip, brow = moved[model.landmarks[57]], moved[model.landmarks[19]]
    assert lip[1] < -0.05 and brow.abs().max() < 0.01


def bfm(count: int = 80) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "meanshape": random.normal(size=(1, 3 * count)), "idBase": random.normal(size=(3 * count, 80)),
        "exBase": random.normal(size=(3 * count, 64)), "meantex": np.full((1, 3 * count), 127.5),
        "texBase": random.normal(size=(3 * count, 80)), "tri": random.integers(1, count + 1, (40, 3)),
        "keypoints": np.arange(1, 69)[None],
    }  # fmt: skip


def test_the_basel_model_is_read_from_its_file(tmp_path: Path) -> None:
    from scipy.io import savemat

    arrays = bfm()
    savemat(tmp_path / "BFM_model_front.mat", arrays)
    model = load_face_model(tmp_path / "BFM_model_front.mat")
    assert model.landmarks.tolist() == list(range(68)) and model.triangles.min() >= 0
    assert model.mean_albedo[0].tolist() == [0.5, 0.5, 0.5] and abs(model.mean_shape.mean()) < 1e-6
    first = torch.from_numpy(arrays["idBase"][3:6, 7]).float()
    assert torch.equal(model.shape_basis[1, :, 7], first)


def test_flame_and_our_own_layout_are_read(tmp_path: Path) -> None:
    random, lm68 = np.random.default_rng(0), np.arange(68)
    faces = random.integers(0, 70, (9, 3))
    mean, directions = random.normal(size=(70, 3)), random.normal(size=(70, 3, 400))
    np.savez(tmp_path / "flame.npz", v_template=mean, shapedirs=directions, f=faces, lm68=lm68)
    flame = load_face_model(tmp_path / "flame.npz")
    assert flame.shape_basis.shape[-1] == 300 and flame.expression_basis.shape[-1] == 100
    assert torch.allclose(flame.expression_basis[..., 0], torch.from_numpy(10 * directions[..., 300]).float())
    own = {
        "mean_shape": mean, "id_basis": directions[..., :4], "exp_basis": directions[..., 4:6], "lm68": lm68, "tris": faces,
        "mean_albedo": np.abs(mean), "albedo_basis": directions[..., :0], "expression_names": np.array(["a", "b"]),
    }  # fmt: skip
    np.savez(tmp_path / "own.npz", **own)
    model = load_face_model(tmp_path / "own.npz")
    assert model.expression_names == ("a", "b") and model.albedo(torch.zeros(2, 0)).shape == (2, 70, 3)


def test_other_files_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", points=np.zeros(3))
    with pytest.raises(ValueError, match="is no face model"):
        load_face_model(tmp_path / "x.npz")
    incomplete: dict[str, Any] = {name: value for name, value in bfm().items() if name != "tri"}
    np.savez(tmp_path / "y.npz", **incomplete)
    with pytest.raises(ValueError, match="it lacks 'tri'"):
        load_face_model(tmp_path / "y.npz")
