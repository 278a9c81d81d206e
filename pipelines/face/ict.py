"""The face model under the synthetic people: ICT-FaceKit's light model (MIT, (c) 2020 USC ICT) as one file.

Centimeters, y up, +z out of the face, +x to the person's left. Its identity modes already carry their standard deviation: draw
coefficients from N(0, 1). The file is not part of avatarcli; `avatarcli prior fetch ict-facekit` makes it (`ict_fetch`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.assets.store import weights_folder
from pipelines.core.errors import MissingTool, UnusableMaterial
from pipelines.core.files import read_arrays
from pipelines.face.expression import ARKIT_52

FILE = "ict_facekit.npz"
ORIGIN_CM = np.array([0.0, 1.5, 1.0])
"""Center of the head in the model's coordinates: the origin of head space."""
UNIT_CM = 32.0
"""Side of the prior's box (`meters_per_unit` 0.32 of the shipped priors)."""


@dataclass(frozen=True, kw_only=True)
class FaceModel:
    """A mesh with linear identity and expression offsets."""

    mean: np.ndarray
    """[V,3] the neutral mean head."""
    identity: np.ndarray
    """[100,V,3] offsets of one standard deviation."""
    expression: np.ndarray
    """[E,V,3] offsets of a whole expression."""
    expression_names: tuple[str, ...]
    """ICT's own, such as `eyeBlink_L`."""
    faces: np.ndarray
    """[F,3] vertices of the triangles."""
    faces_uv: np.ndarray
    """[F,3] texture coordinates of their corners."""
    uv: np.ndarray
    part_vertices: dict[str, slice]
    part_triangles: dict[str, slice]
    landmarks: np.ndarray
    """[68] vertices of the usual landmarks."""

    def shape(self, coefficients: np.ndarray) -> np.ndarray:
        """[V,3] the neutral head of identity coefficients [<=100]: mean + sum c_i identity_i."""
        return self.mean + np.tensordot(coefficients.astype(np.float32), self.identity[: len(coefficients)], 1)

    def offsets(self, weights: np.ndarray) -> np.ndarray:
        """[V,3] what expression weights [E] add to a neutral head."""
        used = np.nonzero(weights)[0]
        return np.tensordot(weights[used].astype(np.float32), self.expression[used], 1)

    def index(self, name: str) -> int:
        return self.expression_names.index(name)

    def triangles(self, *parts: str) -> np.ndarray:
        """Numbers of the triangles of these parts, in order."""
        return np.concatenate([np.arange(self.part_triangles[part].start, self.part_triangles[part].stop) for part in parts])


def find_face_model(path: Path | None = None) -> Path:
    """The file given (or the one in the folder given), else the weights folder's; MissingTool says how to get it."""
    found = weights_folder() / FILE if path is None else path / FILE if path.is_dir() else path
    if not found.is_file():
        get = "run avatarcli prior fetch ict-facekit (MIT, about 520 MB once), or give --ict PATH"
        raise MissingTool(f"the face model {found} is not there: {get}.")
    return found


def load_face_model(path: Path) -> FaceModel:
    """The model in a packed file; UnusableMaterial when something lacks in it or points outside of it."""
    data = read_arrays(path)
    try:
        model = FaceModel(
            mean=data["mean"], identity=data["identity"].astype(np.float32), expression=data["expression"].astype(np.float32),
            expression_names=tuple(map(str, data["expression_names"])), faces=data["faces"].astype(np.int32),
            faces_uv=data["faces_uv"].astype(np.int32), uv=data["uv"].astype(np.float32),
            part_vertices=_slices(data["part_names"], data["part_vertices"]),
            part_triangles=_slices(data["part_names"], data["part_triangles"]), landmarks=data["landmarks68"],
        )  # fmt: skip
    except KeyError as error:
        raise UnusableMaterial(
            f"{path} is not a face model, it lacks {error}; run avatarcli prior fetch ict-facekit."
        ) from error
    if fault := _fault(model):
        raise UnusableMaterial(f"{path} is not a complete face model, {fault}; run avatarcli prior fetch ict-facekit.")
    return model


def _fault(model: FaceModel) -> str:
    """What does not fit together, since compiled code follows every number without looking; nothing when all does."""
    count, parts = len(model.mean), (*model.part_vertices.values(), *model.part_triangles.values())
    shapes = {
        "mean": (model.mean, (count, 3)), "identity": (model.identity, (len(model.identity), count, 3)),
        "expression": (model.expression, (len(model.expression_names), count, 3)), "landmarks68": (model.landmarks, (68,)),
        "faces": (model.faces, (len(model.faces), 3)), "faces_uv": (model.faces_uv, (len(model.faces), 3)),
        "uv": (model.uv, (len(model.uv), 2)),
    }  # fmt: skip
    for name, (array, shape) in shapes.items():
        if array.shape != shape:
            return f"its {name} are {array.shape} and not {shape}"
    limits = {
        "faces": (model.faces, count),
        "faces_uv": (model.faces_uv, len(model.uv)),
        "landmarks68": (model.landmarks, count),
    }
    for name, (numbers, limit) in limits.items():
        if numbers.min() < 0 or numbers.max() >= limit:
            return f"its {name} name vertices that it has not"
    if any(part.stop > max(count, len(model.faces)) or part.start < 0 for part in parts):
        return "its parts reach beyond it"
    return "" if np.isfinite(model.mean).all() else "its mean holds numbers that are not finite"


def arkit_name(name: str) -> str:
    """`eyeBlink_L` -> `eyeBlinkLeft`; ICT parts browInnerUp and cheekPuff, which ARKit does not."""
    return name.removesuffix("_L") + "Left" if name.endswith("_L") else name[:-2] + "Right" if name.endswith("_R") else name


def arkit_weights(expression: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """[N,52] in ARKit's order of weights [N,E] by their `arkit_name`s: parted shapes averaged, absent ones (tongueOut) 0."""
    columns = [[i for i, n in enumerate(names) if n in (a, a + "Left", a + "Right")] for a in ARKIT_52]
    return np.stack([expression[:, c].mean(1) if c else np.zeros(len(expression)) for c in columns], axis=1).astype(np.float32)


def to_head_units(points_cm: np.ndarray) -> np.ndarray:
    """Head space of points in the model's: (p - (0, 1.5, 1)) / 32, so the point (0, 1.5, 33) lies at (0, 0, 1)."""
    return (points_cm - ORIGIN_CM) / UNIT_CM


def _slices(names: np.ndarray, ranges: np.ndarray) -> dict[str, slice]:
    return {str(name): slice(int(start), int(stop)) for name, (start, stop) in zip(names, ranges, strict=True)}
