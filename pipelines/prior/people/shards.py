"""Shards: pictures of synthetic people with everything that is known of them, as npz files that stream.

A folder of `shard_00000.npz`, `shard_00001.npz`, ... and a `stage.json`. Rows of a shard's N pictures (people stand together):

| array | shape, type | |
|---|---|---|
| image | N,S,S,3 uint8 | sRGB of the person times alpha over gray 127 (`people.scene.laid_over` changes that) |
| alpha | N,S,S uint8 | share of the pixel that the person covers |
| depth | N,S,S float16 | along the camera's z, head units (32 cm): mean of what is hit; 0 exactly where alpha is |
| part | N,S,S uint8 | class of `people.parts.PARTS`: the most frequent one; 0 exactly where alpha is below one half |
| camera | N,25 float32 | world_from_camera row by row, then intrinsics over image size (`models.camera.Camera.from_label`) |
| expression | N,53 float16 | weights 0..1 by `expression_names` (ARKit's, two of them by side: `ict.arkit_weights`) |
| gaze | N,2 float16 | degrees to the person's left, and up, relative to the head |
| identity | N,100 float16 | coefficients of ICT-FaceKit's identity modes |
| light | N,9,3 float32 | spherical harmonics of the light that falls on the head, in head space |
| landmarks | N,68,3 float32 | head space |
| joints | N,7,4,4 float32 | head space from rest, for the chest and the six joints of `people.body.JOINTS` |
| person, state | N int32 | number of the person; number of the state: same person, expression, gaze, posture and light |
| pair_of, pair_factor | N int32, uint8 | row of this shard that differs in `PAIR_FACTORS[pair_factor]` alone, else -1 and 255 |

and a row for each of the shard's P people: people [P] int32, rest_joints [P,7,3], skin_points [P,K,3] (rest, head space) and
skin_weights [P,K,7] float32 (posed = sum_j w_j joints_j rest), traits [P] (JSON). The head is the world of every picture: the
camera goes around it and the chest turns below it.
"""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import atomic, read_arrays

PAIR_FACTORS = ("view", "expression", "gaze", "posture", "light", "shape")
ROWS = (
    "image", "alpha", "depth", "part", "camera", "expression", "gaze", "identity", "light", "landmarks", "joints", "person",
    "state", "pair_of", "pair_factor",
)  # fmt: skip
"""Arrays with a row a picture."""
NO_PAIR = 255
LEVEL = 1
"""Of deflate: half the size at a tenth of the rendering's time."""


def shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:05d}.npz"


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a folder in order; UnusableMaterial when there are none."""
    found = sorted(folder.glob("shard_*.npz"))
    if not found:
        raise UnusableMaterial(f"{folder} holds no shards; make some with `avatarcli prior synth --people 100 --out {folder}`.")
    return found


def write_shard(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """An npz whose bytes depend on the arrays alone (no times), written whole or not at all."""
    with atomic(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)


def read_shard(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a shard, or those asked for alone."""
    if names is None:
        return read_arrays(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UnusableMaterial(f"{path} is not a shard with {', '.join(names)} ({error}); make it again.") from error


def read_shards(
    folder: Path,
    batch: int,
    names: Sequence[str] = ("image", "alpha", "camera"),
    seed: int | None = None,
    epochs: int | None = 1,
) -> Iterator[dict[str, np.ndarray]]:
    """Batches of rows over all shards, `batch` rows each; `seed` shuffles shards and the rows within, `epochs` None never ends.

    One shard is in memory at a time. Rows left at a shard's end begin the next batch; what is left at the very end is dropped.
    Ten rows in shards of 4, 4 and 2 give batches of 3: three, and one row is dropped.
    """
    paths = shard_paths(folder)
    random = None if seed is None else np.random.default_rng(seed)
    left: dict[str, np.ndarray] = {}
    epoch = 0
    while epochs is None or epoch < epochs:
        for index in random.permutation(len(paths)) if random else range(len(paths)):
            rows = read_shard(paths[index], names)
            order = random.permutation(len(rows[names[0]])) if random else slice(None)
            rows = {name: np.concatenate([left[name], rows[name][order]]) if left else rows[name][order] for name in names}
            whole = len(rows[names[0]]) // batch * batch
            for start in range(0, whole, batch):
                yield {name: value[start : start + batch] for name, value in rows.items()}
            left = {name: value[whole:] for name, value in rows.items()}
        epoch += 1


def stack_rows(rows: Sequence[dict[str, Any]], people: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """A shard's arrays of its pictures and people."""
    kinds = {"depth": np.float16, "expression": np.float16, "gaze": np.float16, "identity": np.float16}
    of_rows = {name: np.array([row[name] for row in rows]) for name in ROWS}
    of_rows |= {name: of_rows[name].astype(kind) for name, kind in kinds.items()}
    return (
        of_rows | {name: np.array([one[name] for one in people]) for name in people[0]} | {"expression_names": np.array(names)}
    )
