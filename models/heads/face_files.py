"""Face models from files that the user has (3DFaceShop, spec 17): ICT-FaceKit's light model as `avatarcli prior fetch
ict-facekit` packs it (MIT), the Basel Face Model as Deep3DFaceRecon crops it, FLAME as arrays, or our own layout.

Notable choices: none of these belongs to us and none is shipped; a file is recognized by its arrays, nothing in it is run.
ICT's light model has no albedo: a constant skin with three tints takes its place. FLAME's jaw is a joint, which a linear model
has not: its expressions alone are read.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.heads.face3dmm import FaceModel

Arrays = Mapping[str, np.ndarray]
SKIN, TINT = (0.72, 0.55, 0.47), 0.1
"""RGB of a face without albedo modes, and how far a coefficient of 1 moves each channel."""
ICT_LICENSE = "MIT, (c) 2020 USC Institute for Creative Technologies"
ICT_HEAD_CENTER = (0.0, 0.15, 0.1)
"""dm in its own coordinates: the center of the head under the synthetic people."""
ICT_NARROW = 6706
"""Of its vertices, the first are the face without the back of the head, ears and neck."""
FLAME_SHAPES = 300
"""Of FLAME's shape directions, those of identity; the others are expressions."""


def load_face_model(path: Path) -> FaceModel:
    """The face model in an .npz or .mat file; ValueError when it is none of those above or incomplete."""
    arrays = _arrays(path)
    for name, make in KINDS.items():
        if name in arrays:
            try:
                return make(arrays)
            except KeyError as error:
                raise ValueError(f"{path} is no complete face model: it lacks {error}") from error
    raise ValueError(f"{path} is no face model: it has none of {', '.join(KINDS)}")


def from_ict(arrays: Arrays, *, shapes: int = 40) -> FaceModel:
    """ICT-FaceKit's narrow face, from forehead to chin and ear to ear, with its first `shapes` identity modes."""
    count = ICT_NARROW
    mean, triangles = arrays["mean"][:count].astype(np.float32), arrays["faces"]
    tint = np.broadcast_to(TINT * np.eye(3, dtype=np.float32), (count, 3, 3))
    return FaceModel(
        mean_shape=_tensor(0.1 * (mean - mean.mean(0))), shape_basis=_modes(arrays["identity"][:shapes, :count], 0.1),
        expression_basis=_modes(arrays["expression"][:, :count], 0.1),
        mean_albedo=_tensor(np.broadcast_to(np.array(SKIN), (count, 3))), albedo_basis=_tensor(tint),
        triangles=_numbers(triangles[(triangles < count).all(1)]), landmarks=_numbers(arrays["landmarks68"]),
        expression_names=tuple(map(str, arrays["expression_names"])), license=ICT_LICENSE,
        head_center=_difference(ICT_HEAD_CENTER, 0.1 * mean.mean(0)),
    )  # fmt: skip


def from_bfm(arrays: Arrays) -> FaceModel:
    """The Basel Face Model with FaceWarehouse's expressions as Deep3DFaceRecon's users make it (`BFM_model_front.mat`);
    numbers of vertices count from 1, colors from 0 to 255."""
    mean = arrays["meanshape"].reshape(-1, 3)
    return FaceModel(
        mean_shape=_tensor(mean - mean.mean(0)), shape_basis=_columns(arrays["idBase"]),
        expression_basis=_columns(arrays["exBase"]), mean_albedo=_tensor(arrays["meantex"].reshape(-1, 3) / 255),
        albedo_basis=_columns(arrays["texBase"] / 255), triangles=_numbers(arrays["tri"]) - 1,
        landmarks=_numbers(arrays["keypoints"].reshape(-1)) - 1, license="Basel Face Model: registration, non-commercial",
    )  # fmt: skip


def from_flame(arrays: Arrays) -> FaceModel:
    """FLAME's `v_template`, `shapedirs` and `f` in meters, with the vertices of the 68 landmarks as `lm68`."""
    mean, directions = arrays["v_template"], arrays["shapedirs"]
    return FaceModel(
        mean_shape=_tensor(10 * (mean - mean.mean(0))), shape_basis=_tensor(10 * directions[..., :FLAME_SHAPES]),
        expression_basis=_tensor(10 * directions[..., FLAME_SHAPES:]),
        mean_albedo=_tensor(np.broadcast_to(np.array(SKIN), mean.shape)),
        albedo_basis=_tensor(np.broadcast_to(TINT * np.eye(3, dtype=np.float32), (len(mean), 3, 3))),
        triangles=_numbers(arrays["f"]), landmarks=_numbers(arrays["lm68"]), license="FLAME: see flame.is.tue.mpg.de",
    )  # fmt: skip


def from_layout(arrays: Arrays) -> FaceModel:
    """Our own: what `FaceModel` calls its fields, bases [V,3,K], units dm, with `tris` and `lm68`."""
    return FaceModel(
        mean_shape=_tensor(arrays["mean_shape"]), shape_basis=_tensor(arrays["id_basis"]),
        expression_basis=_tensor(arrays["exp_basis"]), mean_albedo=_tensor(arrays["mean_albedo"]),
        albedo_basis=_tensor(arrays["albedo_basis"]), triangles=_numbers(arrays["tris"]), landmarks=_numbers(arrays["lm68"]),
        expression_names=tuple(map(str, arrays.get("expression_names", ()))), license=str(arrays.get("license", "")),
    )  # fmt: skip


KINDS: dict[str, Callable[[Arrays], FaceModel]] = {
    "identity": from_ict, "idBase": from_bfm, "shapedirs": from_flame, "id_basis": from_layout,
}  # fmt: skip
"""The array by which a file is recognized -> what it is read by."""


def _arrays(path: Path) -> Arrays:
    if path.suffix == ".mat":
        from scipy.io import loadmat

        return {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _difference(point: tuple[float, float, float], other: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in np.array(point) - other)
    return x, y, z


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))


def _numbers(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.int64))


def _modes(values: np.ndarray, scale: float) -> Tensor:
    """Offsets [K,V,3] as a basis [V,3,K]."""
    return _tensor(scale * np.moveaxis(values.astype(np.float32), 0, -1))


def _columns(values: np.ndarray) -> Tensor:
    """A basis [3V,K] whose row 3v+axis moves an axis of a vertex as [V,3,K]."""
    return _tensor(values.reshape(-1, 3, values.shape[1]))
