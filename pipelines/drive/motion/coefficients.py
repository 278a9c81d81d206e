"""Coefficients of other face models (FLAME, BFM, ...) as a driver, through a linear adapter that names our channels.

`scores = offset + matrix @ x`, x being the named arrays of the file laid side by side. An adapter is an npz of `names` [E],
`inputs` [K] (array names), `matrix` [E,D], `offset` [E] and, if the file holds head rotations, `pose`: the name of an array of
axis-angle vectors [T,3] or matrices [T,3,3] or [T,4,4], axes x to the person's left, y up, z out of the face, as FLAME and BFM
have them. It is fitted to footage that both trackers have read: ridge regression in standardized units,
matrix = argmin |Y - X M|^2 + ridge * T |M|^2.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, write_arrays
from pipelines.face.channel_spaces import ARKIT, few
from pipelines.face.expression import ARKIT_52, MEASURED
from pipelines.face.livelink import DISTANCE
from pipelines.face.track import Track
from pipelines.geometry.rigid import OPENGL_FROM_OPENCV

RATES = ("rate_hz", "fps")
INPUTS = ("expression", "exp", "expr", "expcode", "jaw_pose", "jaw", "eyelids", "eyes_pose", "eye_pose")
"""Arrays that an adapter takes when it is fitted and nothing else is said; FLAME's and BFM's usual names."""
POSES = ("global_orient", "head_pose", "global_pose", "rotation")
HOW = (
    "fit one from footage that both trackers have read: `avatarcli track VIDEO -o v.track`, then "
    "`python examples/fit_adapter.py COEFFICIENTS.npz v.track mine.adapter.npz`"
)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Channels from coefficients, linearly."""

    names: tuple[str, ...]
    inputs: tuple[str, ...]
    matrix: np.ndarray
    """[E,D]"""
    offset: np.ndarray
    """[E]"""
    pose: str = ""
    """Name of the array of head rotations, empty when there is none."""


def read_coefficients(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name, rows being frames; a .npy is one array named `expression`."""
    if path.suffix.lower() != ".npy":
        return read_arrays(path)
    try:
        return {"expression": np.load(path, allow_pickle=False)}
    except (OSError, ValueError) as error:
        raise UnusableMaterial(f"{path} cannot be read ({error}).") from error


def load_adapter(path: Path) -> Adapter:
    values = read_arrays(path)
    if not {"names", "inputs", "matrix", "offset"} <= set(values):
        raise UnusableMaterial(f"{path} is not an adapter: it needs the arrays names, inputs, matrix and offset; {HOW}.")
    adapter = Adapter(
        names=tuple(map(str, values["names"])), inputs=tuple(map(str, values["inputs"])), matrix=values["matrix"],
        offset=values["offset"], pose=str(values.get("pose", "")),
    )  # fmt: skip
    unknown = [name for name in adapter.names if name not in ARKIT_52]
    if unknown or adapter.matrix.shape[0] != len(adapter.names) or adapter.offset.shape != (len(adapter.names),):
        said = f"it names {few(unknown)}, which are no ARKit shapes" if unknown else "its matrix and names do not fit together"
        raise UnusableMaterial(f"{path} is not an adapter: {said}; {HOW}.")
    return adapter


def save_adapter(path: Path, adapter: Adapter) -> None:
    write_arrays(
        path, names=np.array(adapter.names), inputs=np.array(adapter.inputs), matrix=adapter.matrix, offset=adapter.offset,
        pose=np.array(adapter.pose),
    )  # fmt: skip


def adapted(path: Path, adapter_path: Path | None, rate_hz: float | None) -> Track:
    """The track that a file of coefficients means; UnusableMaterial when the adapter is missing or of another kind."""
    values = read_coefficients(path)
    if adapter_path is None:
        raise UnusableMaterial(f"{path} holds coefficients; say what they mean with --set track.adapter=FILE, or {HOW}.")
    adapter, rate = load_adapter(adapter_path), rate_hz or stated_rate(values)
    if rate is None:
        raise UnusableMaterial(f"{path} states no frame rate; add an array `fps`, or --set track.coefficients_hz=25.")
    scores = adapter.offset + side_by_side(values, adapter.inputs, path, adapter.matrix.shape[1]) @ adapter.matrix.T
    count = len(scores)
    space = "measured" if adapter.names == MEASURED else ARKIT
    return Track(
        space=space, names=adapter.names, rate_hz=rate, times_s=np.arange(count) / rate,
        expression=scores.astype(np.float32), world_from_head=poses(values, adapter.pose, count, path),
        confidence=np.ones(count), valid=np.asarray(np.isfinite(scores).all(1)),
    )  # fmt: skip


def stated_rate(values: dict[str, np.ndarray]) -> float | None:
    return next((float(values[name]) for name in RATES if name in values), None)


def side_by_side(values: dict[str, np.ndarray], inputs: tuple[str, ...], path: Path, width: int | None = None) -> np.ndarray:
    """float64 [T,D] of the named arrays."""
    missing = [name for name in inputs if name not in values]
    if missing or not inputs:
        lacks, holds = few(missing) or "of coefficients", few(sorted(values)) or "none"
        raise UnusableMaterial(f"{path} has no array {lacks}; it holds {holds}.")
    parts = [np.asarray(values[name], np.float64).reshape(len(values[name]), -1) for name in inputs]
    if len({len(part) for part in parts}) > 1:
        raise UnusableMaterial(f"{path}: {', '.join(inputs)} have different numbers of rows.")
    joined = np.concatenate(parts, axis=1)
    if width is not None and joined.shape[1] != width:
        raise UnusableMaterial(f"{path}: {', '.join(inputs)} have {joined.shape[1]} columns, the adapter was made for {width}.")
    return joined


def poses(values: dict[str, np.ndarray], name: str, count: int, path: Path) -> np.ndarray:
    """camera_from_head [T,4,4], OpenCV axes; the head is straight on where no rotation is given."""
    from scipy.spatial.transform import Rotation

    result = np.tile(np.eye(4), (count, 1, 1))
    result[:, :3, :3], result[:, 2, 3] = OPENGL_FROM_OPENCV[:3, :3], DISTANCE
    if not name:
        return result
    given = side_by_side(values, (name,), path).reshape(len(values[name]), -1)
    if len(given) != count or given.shape[1] not in (3, 9, 16):
        raise UnusableMaterial(f"{path}: {name} is not one rotation per row; give [T,3] (axis-angle), [T,3,3] or [T,4,4].")
    side = {9: 3, 16: 4}.get(given.shape[1], 0)
    turns = given.reshape(count, side, side)[:, :3, :3] if side else Rotation.from_rotvec(given).as_matrix()
    result[:, :3, :3] = OPENGL_FROM_OPENCV[:3, :3] @ turns
    return result


def fit_adapter(
    values: dict[str, np.ndarray], track: Track, rate_hz: float, ridge: float = 0.01, inputs: tuple[str, ...] = ()
) -> tuple[Adapter, np.ndarray]:
    """The adapter from coefficients to the track's channels, and [E] the share of variance it explains on the last fifth.

    Row i of the coefficients belongs to the time i / rate_hz of the track; rows where the track has no face are left out.
    """
    from pipelines.drive.motion.track import resampled

    inputs = inputs or tuple(name for name in INPUTS if name in values)
    source = side_by_side(values, inputs, Path("the coefficients"))
    times = np.arange(len(source)) / rate_hz
    there = times <= track.times_s[-1] + 1e-6
    goal = resampled(track, times[there])
    good = goal.valid & (goal.confidence > 0.5)
    x, y = source[there][good], goal.expression[good].astype(np.float64)
    if len(x) < 50:
        raise UnusableMaterial(f"{len(x)} frames are in both files; an adapter needs at least 50, better several hundred.")
    cut = round(0.8 * len(x))
    matrix, offset = ridge_fit(x[:cut], y[:cut], ridge)
    left = np.square(y[cut:] - offset - x[cut:] @ matrix.T).sum(0)
    explained = 1 - left / np.maximum(np.square(y[cut:] - y[cut:].mean(0)).sum(0), 1e-9)
    matrix, offset = ridge_fit(x, y, ridge)
    pose = next((name for name in POSES if name in values), "")
    return Adapter(names=track.names, inputs=inputs, matrix=matrix, offset=offset, pose=pose), explained


def ridge_fit(x: np.ndarray, y: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    """matrix [E,D] and offset [E] of y = offset + matrix x for rows x [T,D], y [T,E]."""
    center, spread = x.mean(0), np.maximum(x.std(0), 1e-6 + 1e-3 * x.std())
    z = (x - center) / spread
    weights = np.linalg.solve(z.T @ z + ridge * len(z) * np.eye(z.shape[1]), z.T @ (y - y.mean(0))).T / spread
    return weights, y.mean(0) - weights @ center
