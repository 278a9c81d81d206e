"""The face model's picture of a code, which a generated face is compared with (3DFaceShop section 4.3.1; spec 7 to 9)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.faceshop.codes import decoded
from models.faceshop.config import FaceShopConfig
from models.heads.face3dmm import SIZE, TRANSLATION, FaceModel, Posed, colored, posed
from models.heads.lighting import BANDS, estimated_light, light_rows
from models.rendering.mesh import interpolated, rasterize


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceRender:
    """Pictures of 224 px without hair and background; no gradient passes through them."""

    image: Tensor
    """[B,3,224,224] in 0..1, black beside the face."""
    light_rows: Tensor
    """[B,27,224,224] what each coefficient of the light adds to its channel (models.heads.lighting)."""
    mask: Tensor
    """[B,1,224,224]"""
    landmarks: Tensor
    """[B,68,2] column and row."""
    faces: Posed

    def light_in(self, image: Tensor) -> Tensor:
        """[B,27] the light in an image [B,3,224,224] in 0..1 of this face, by least squares on its albedo and normals;
        differentiable in the image."""
        colors, rows = (values.flatten(2).mT for values in (image, self.light_rows))
        return estimated_light(colors, rows.unflatten(-1, (3, BANDS)), self.mask.flatten(1))


def fitted(config: FaceShopConfig, model: FaceModel) -> FaceShopConfig:
    """The config with as many coefficients as the face model has; their scales stay."""
    return replace(
        config, shape_dim=model.shape_basis.shape[-1], albedo_dim=model.albedo_basis.shape[-1],
        expression_dim=model.expression_basis.shape[-1],
    )  # fmt: skip


@torch.no_grad()
def face_render(model: FaceModel, config: FaceShopConfig, z: Tensor, angles: Tensor) -> FaceRender:
    """The faces of codes z [B,z_dim] turned by pitch, yaw and roll [B,3], where all training pictures have them.

    ValueError for a model with other coefficients than the config's.
    """
    if fitted(config, model) != config:
        raise ValueError("the face model has other numbers of coefficients than the generator: see guidance.fitted")
    given = decoded(config, z)
    faces = posed(model, model.shape(given.shape, given.expression), angles, z.new_tensor([TRANSLATION]).expand(len(z), -1))
    fragments = rasterize(faces.pixels, faces.points[..., 2], model.triangles, SIZE)
    rows = light_rows(model.albedo(given.albedo), faces.normals).flatten(2)
    values = torch.cat([colored(model, faces, given.albedo, given.light), rows], -1)
    image, rows = interpolated(fragments, values, model.triangles).split([3, 3 * BANDS], dim=1)
    return FaceRender(
        image=image.clamp(0, 1), light_rows=rows, mask=fragments.mask, landmarks=faces.pixels[:, model.landmarks], faces=faces
    )
