"""The reference vectors of shared/goldens/3dfaceshop; its README says what each array is."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.heads.face3dmm import TRANSLATION, FaceModel, Posed, posed
from tests.material import shared
from tests.reference import Tensors


def golden(name: str) -> Tensors:
    """All arrays of a file, those of truth values too."""
    with np.load(shared(f"goldens/3dfaceshop/{name}.npz")) as arrays:
        return {key: torch.from_numpy(np.asarray(arrays[key])) for key in arrays.files}


def toy_model() -> FaceModel:
    """The face model of 100 vertices."""
    arrays = golden("02_face_model")
    return FaceModel(
        mean_shape=arrays["mean_shape"].view(-1, 3), shape_basis=arrays["id_base"].view(100, 3, 80),
        expression_basis=arrays["exp_base"].view(100, 3, 64), mean_albedo=arrays["mean_tex"].view(100, 3) / 255,
        albedo_basis=arrays["tex_base"].view(100, 3, 80) / 255, triangles=arrays["tri"].long(),
        landmarks=arrays["keypoints"].long(),
    )  # fmt: skip


def toy_faces(shape: list[int], expression: list[int], angles: list[int]) -> Posed:
    """Faces of the toy model by the numbers of their coefficients, where training has them."""
    arrays, model = golden("02_face_model"), toy_model()
    points = model.shape(arrays["coef_id"][shape], arrays["coef_exp"][expression])
    turned = golden("09_imitative")["coef_angle"][angles]
    return posed(model, points, turned, torch.tensor([TRANSLATION]).expand(len(shape), -1))


def pictures(low: Tensor) -> Tensor:
    """[B,3,512,512] in [-1,1], the generated images of 09 and 10."""
    return F.interpolate(low, scale_factor=16, mode="bilinear", align_corners=False)


def labels() -> Tensor:
    """[2,19,128,128] the rendered classes of 10."""
    return F.interpolate(golden("10_disentangle")["label_low16"], scale_factor=8, mode="bilinear", align_corners=False)
