"""Making the bank from a capture: the training frames that differ most, and the avatar's render of each.

Notable choice: frames are taken farthest first, by view and by the expression of every region apart, so that a frame that
alone shows shut lids is among the first, however few frames there are.
"""

from pathlib import Path

import numpy as np

from pipelines.artifacts.avatar import Avatar, load_avatar
from pipelines.artifacts.dataset import Dataset, camera_of
from pipelines.avatar.portrait import Portrait
from pipelines.avatar.references.bank import ARRAYS, FOLDER, QUALITY, name_of
from pipelines.avatar.references.distance import lacks
from pipelines.core.files import write_arrays, write_image
from pipelines.media.pixels import to_bytes

MOST = 150
"""Frames of a bank."""
SIDES = (512, 768, 1024)
"""Pixels a side: the least that the film's own resolution does not exceed."""
MOST_BYTES = 25_000_000
"""Of a whole bank; beyond it is made of smaller pictures."""


def build_references(dataset: Dataset, expression: np.ndarray, avatar: Path) -> list[str]:
    """Write the bank of a capture into an avatar folder; the names of its files.

    `expression` [N,E] are the raw scores of the dataset's frames in the avatar's space.
    """
    portrait = Portrait(load_avatar(avatar))
    rows = spread_rows(dataset, expression, portrait.avatar.names, MOST)
    files = write_films(dataset, rows, avatar / FOLDER)
    write_arrays(
        avatar / FOLDER / ARRAYS, source_index=dataset.source_index[rows], expression=expression[rows].astype(np.float32),
        world_from_camera=dataset.world_from_camera[rows], intrinsics=dataset.intrinsics[rows],
        renders=rendered_rows(portrait, dataset, rows, expression),
    )  # fmt: skip
    return [f"{FOLDER}/{name}" for name in (*files, ARRAYS)]


def write_films(dataset: Dataset, rows: np.ndarray, folder: Path) -> list[str]:
    """The frames as WebP with alpha, at the film's own resolution; smaller where they would exceed MOST_BYTES."""
    own = float(np.median(dataset.box[rows, 2]))
    for side in sorted((side for side in SIDES if side < 1.25 * own), reverse=True) or [SIDES[0]]:
        names, count = [name_of(index) for index in dataset.source_index[rows]], 0
        for name, row in zip(names, rows, strict=True):
            only = np.array([row])
            picture = np.dstack([dataset.images(only, side)[0], dataset.head_mattes(only, side)[0]])
            write_image(folder / name, picture, QUALITY)
            count += (folder / name).stat().st_size
        if count <= MOST_BYTES:
            break
    return names


def rendered_rows(portrait: Portrait, dataset: Dataset, rows: np.ndarray, expression: np.ndarray) -> np.ndarray:
    """uint8 [K,S,S,4] premultiplied renders of some rows."""
    result = []
    for row in rows:
        scene = portrait.scene(expression[row : row + 1])
        result.append(to_bytes(portrait.render(scene, camera_of(dataset, np.array([row]))).generator[0]))
    return np.stack(result)


def spread_rows(dataset: Dataset, expression: np.ndarray, names: tuple[str, ...], most: int) -> np.ndarray:
    """At most `most` training rows, in the order of time: farthest first by the largest distance in view or any region."""
    train = dataset.rows("train")
    if len(train) <= most:
        return train
    apart = pairwise(dataset.world_from_camera[train], expression[train], names)
    picked = [int(apart.sum(0).argmin())]
    near = apart[picked[0]].copy()
    while len(picked) < most:
        picked.append(int(near.argmax()))
        near = np.minimum(near, apart[picked[-1]])
    return train[np.sort(picked)]


def pairwise(cameras: np.ndarray, expression: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """[N,N] the largest of the distances in view and in each region."""
    return np.max(list(lacks(expression, cameras, names, expression, cameras).values()), axis=0)
