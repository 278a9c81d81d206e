"""A linear face model: a mesh moved by identity and expression coefficients, its colors, pose, picture and landmarks
(3DFaceShop section 4.1, eq. 4 and 5; spec 7). Where models come from: `models.heads.face_files`.

Units: decimeters, x to the right of a frontal image, y up, z out of the face; angles in radians. The camera stands 10 dm from
the origin and looks along -z with a focal length of 1015 px on 224. A generator's unit is a meter, so its points are the
model's over ten.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from models.camera import Camera, centered_intrinsics
from models.heads.lighting import shaded

SIZE, FOCAL_PX, DISTANCE = 224, 1015.0, 10.0
"""Side and focal length of the picture, px; distance of the camera, dm."""
TRANSLATION = (0.0, -0.1, 0.0)
"""Where the face stands in every training picture, dm."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FaceModel:
    """A mesh of V vertices and F triangles."""

    mean_shape: Tensor
    """[V,3] dm, centered."""
    shape_basis: Tensor
    """[V,3,S] dm for a coefficient of 1, which is one standard deviation."""
    expression_basis: Tensor
    """[V,3,E]"""
    mean_albedo: Tensor
    """[V,3] RGB in 0..1."""
    albedo_basis: Tensor
    """[V,3,A]"""
    triangles: Tensor
    """[F,3] vertices."""
    landmarks: Tensor
    """[68] vertices of the usual landmarks."""
    expression_names: tuple[str, ...] = ()
    """Of blendshapes, whose coefficients are between 0 and 1; empty where they are Gaussian."""
    head_center: tuple[float, float, float] | None = None
    """dm: where the metric head frame has its origin; None where nobody measured it."""
    license: str = ""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """Vertices by the name of a part, where the file says."""

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise ValueError(f"this is no complete face model: {fault}")

    def shape(self, identity: Tensor, expression: Tensor) -> Tensor:
        """[B,V,3] dm of coefficients [B,S] and [B,E] (eq. 4)."""
        moved = _mixed(self.shape_basis, identity) + _mixed(self.expression_basis, expression)
        return self.mean_shape + moved

    def albedo(self, coefficients: Tensor) -> Tensor:
        """[B,V,3] RGB of coefficients [B,A] (eq. 5); may leave 0..1."""
        return self.mean_albedo + _mixed(self.albedo_basis, coefficients)

    def to(self, device: torch.device | str) -> "FaceModel":
        tensors = {name: value.to(device) for name, value in vars(self).items() if isinstance(value, Tensor)}
        parts = {name: rows.to(device) for name, rows in self.parts.items()}
        return replace(self, **tensors, parts=parts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Posed:
    """Faces before the camera."""

    points: Tensor
    """[B,V,3] x right, y up, and the distance from the camera along its axis, dm."""
    normals: Tensor
    """[B,V,3] unit normals, z towards the camera."""

    @property
    def pixels(self) -> Tensor:
        """[B,V,2] column and row of a picture of 224 px, the first pixel's center at 0.5."""
        return projected(self.points)

    @property
    def depth(self) -> Tensor:
        """[B,V] dm along the camera's axis."""
        return self.points[..., 2]


def _mixed(basis: Tensor, coefficients: Tensor) -> Tensor:
    return (coefficients @ basis.flatten(0, 1).T).unflatten(1, basis.shape[:2])


def vertex_normals(points: Tensor, triangles: Tensor) -> Tensor:
    """[B,V,3] unit sums of the unit normals of the triangles around each vertex, of points [B,V,3]; counterclockwise is
    front."""
    first, second, third = (points[:, triangles[:, corner]] for corner in range(3))
    faces = F.normalize(torch.linalg.cross(first - second, second - third), dim=-1)
    total = torch.zeros_like(points)
    for corner in range(3):
        total = total.index_add(1, triangles[:, corner], faces)
    return F.normalize(total, dim=-1)


def rotation(angles: Tensor) -> Tensor:
    """[B,3,3] R = Rz Ry Rx of pitch, yaw, roll [B,3] in radians: turns the head, p' = R p."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(1), angles.sin().unbind(1)
    zero, one = torch.zeros_like(cx), torch.ones_like(cx)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, 1).unflatten(1, (3, 3))

    about_x = matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx)
    about_y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_z = matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one)
    return about_z @ about_y @ about_x


def posed(model: FaceModel, points: Tensor, angles: Tensor, translation: Tensor) -> Posed:
    """Points [B,V,3] turned by angles [B,3] and moved by translation [B,3] dm, as the camera sees them."""
    turn = rotation(angles)
    placed = points @ turn.mT + translation[:, None]
    normals = vertex_normals(points, model.triangles) @ turn.mT
    return Posed(points=torch.cat([placed[..., :2], DISTANCE - placed[..., 2:]], -1), normals=normals)


def projected(points: Tensor) -> Tensor:
    """[B,N,2] column and row on 224 px of points before the camera [B,N,3]."""
    x, y, z = points.unbind(-1)
    return torch.stack([SIZE / 2 + FOCAL_PX * x / z, SIZE / 2 - FOCAL_PX * y / z], -1)


def colored(model: FaceModel, faces: Posed, albedo: Tensor, light: Tensor) -> Tensor:
    """[B,V,3] vertex colors of albedo coefficients [B,A] under light [B,27]."""
    return shaded(model.albedo(albedo), faces.normals, light)


def camera_of(angles: Tensor, translation: Tensor | None = None, meters_per_unit: float = 1.0) -> Camera:
    """The camera that sees a generator's head as this model's camera sees a face so turned [B,3] and moved [B,3] dm.

    Exact, where two angles on a sphere lose the roll that pitch and yaw together make: 10 px of 224 at (0.3, 0.6).
    """
    turn = rotation(angles).mT
    moved = angles.new_zeros(len(angles), 3) if translation is None else translation / DISTANCE
    eye = angles.new_tensor([0.0, 0.0, 1.0]) - moved
    matrix = torch.eye(4, device=angles.device, dtype=angles.dtype).repeat(len(angles), 1, 1)
    matrix[:, :3, :3] = turn * angles.new_tensor([1.0, -1.0, -1.0])
    matrix[:, :3, 3] = (turn @ eye[..., None])[..., 0] / meters_per_unit
    intrinsics = centered_intrinsics(FOCAL_PX / SIZE).to(angles).expand(len(angles), -1, -1)
    return Camera(world_from_camera=matrix, intrinsics=intrinsics)


def _fault(model: FaceModel) -> str:
    count, highest = len(model.mean_shape), int(model.triangles.max())
    shapes = {
        "mean_shape": (count, 3), "mean_albedo": (count, 3), "landmarks": (68,), "triangles": (len(model.triangles), 3),
        **{name: (count, 3, getattr(model, name).shape[-1]) for name in ("shape_basis", "expression_basis", "albedo_basis")},
    }  # fmt: skip
    for name, shape in shapes.items():
        if tuple(getattr(model, name).shape) != shape:
            return f"its {name} is {tuple(getattr(model, name).shape)} and not {shape}"
    if (
        highest >= count
        or int(model.landmarks.max()) >= count
        or min(int(model.triangles.min()), int(model.landmarks.min())) < 0
    ):
        return f"its triangles or landmarks name vertices beyond its {count}"
    if model.expression_names and len(model.expression_names) != model.expression_basis.shape[-1]:
        return f"it has {model.expression_basis.shape[-1]} expressions and {len(model.expression_names)} names"
    return "" if model.mean_shape.isfinite().all() else "its mean holds numbers that are not finite"
