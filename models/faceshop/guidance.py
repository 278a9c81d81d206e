"""The face model's picture of a code, which a generated face is compared with (3DFaceShop section 4.3.1; spec 7 to 9).

Notable choice: light is fixed to the head, as a field is that any camera may see. The authors fix it to the camera, so that the
same code means another light in every view.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.camera import Camera
from models.faceshop.codes import decoded
from models.faceshop.config import FaceShopConfig
from models.heads.face3dmm import SIZE, FaceModel, vertex_normals
from models.heads.lighting import BANDS, estimated_light, light_rows, shaded
from models.rendering.mesh import Projected, interpolated, rasterize

METERS_PER_DM = 0.1


@dataclass(frozen=True, kw_only=True)
class FaceFrame:
    """Where the face model lies in a generator's space; by default as in 3DFaceShop's."""

    meters_per_unit: float = 1.0
    origin_dm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """The generator's origin in the face model's coordinates."""

    def points(self, shape: Tensor) -> Tensor:
        """[B,V,3] in the generator's units of [B,V,3] dm."""
        return (shape - shape.new_tensor(self.origin_dm)) * (METERS_PER_DM / self.meters_per_unit)


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
    mesh: Projected

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
def face_render(
    model: FaceModel, config: FaceShopConfig, z: Tensor, camera: Camera, frame: FaceFrame = FaceFrame()
) -> FaceRender:
    """The faces of codes z [B,z_dim] as B cameras of the generator's space see them.

    ValueError for a model with other coefficients than the config's.
    """
    if fitted(config, model) != config:
        raise ValueError("the face model has other numbers of coefficients than the generator: see guidance.fitted")
    given = decoded(config, z)
    shape = model.shape(given.shape, given.expression)
    pixels, depth = camera.project(frame.points(shape))
    mesh = Projected(pixels=SIZE * pixels, depth=depth[..., 0])
    albedo, normals = model.albedo(given.albedo), vertex_normals(shape, model.triangles)
    fragments = rasterize(mesh.pixels, mesh.depth, model.triangles, SIZE)
    values = torch.cat([shaded(albedo, normals, given.light), light_rows(albedo, normals).flatten(2)], -1)
    image, rows = interpolated(fragments, values, model.triangles).split([3, 3 * BANDS], dim=1)
    return FaceRender(
        image=image.clamp(0, 1), light_rows=rows, mask=fragments.mask, landmarks=mesh.pixels[:, model.landmarks], mesh=mesh
    )
