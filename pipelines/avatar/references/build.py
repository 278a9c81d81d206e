"""Making the bank from a capture: the training frames that differ most, and the avatar's render of each.

Notable choice: frames are taken farthest first, by view and by the expression of every region apart, so that a frame that
alone shows shut lids is among the first, however few frames there are.
"""

import shutil
from pathlib import Path

import numpy as np

from pipelines.artifacts.avatar import Avatar
from pipelines.artifacts.dataset import Dataset, camera_of
from pipelines.avatar.portrait import Portrait
from pipelines.avatar.references.bank import ARRAYS, FOLDER, QUALITY, name_of
from pipelines.avatar.references.distance import Faces, lacks
from pipelines.core.files import write_arrays, write_image
from pipelines.core.stage import Progress, Task
from pipelines.media.foreground import foreground
from pipelines.media.pixels import to_bytes

MOST = 150
"""Frames of a bank."""
SIDES = (512, 768, 1024)
"""Pixels a side: the least that the film's own resolution does not exceed."""
MOST_BYTES = 25_000_000
"""Of a whole bank; beyond it is made of smaller pictures."""


def build_references(dataset: Dataset, avatar: Avatar, progress: Progress) -> tuple[list[str], int]:
    """Write the bank of a capture into the avatar's folder; the names of its files and how many frames it holds."""
    expression, portrait = dataset.expression(avatar.space), Portrait(avatar, references=False)
    rows = spread_rows(dataset, expression, avatar.names, MOST)
    shutil.rmtree(avatar.folder / FOLDER, ignore_errors=True)
    files = write_films(dataset, rows, avatar.folder / FOLDER)
    with progress.task("references", len(rows)) as task:
        renders = rendered_rows(portrait, dataset, rows, expression, task)
    write_arrays(
        avatar.folder / FOLDER / ARRAYS, source_index=dataset.source_index[rows],
        expression=expression[rows].astype(np.float32),
        world_from_camera=dataset.world_from_camera[rows], intrinsics=dataset.intrinsics[rows],
        openings=dataset.openings()[rows], renders=renders,
    )  # fmt: skip
    return [f"{FOLDER}/{name}" for name in (*files, ARRAYS)], len(rows)


def write_films(dataset: Dataset, rows: np.ndarray, folder: Path) -> list[str]:
    """The frames as WebP with alpha, at the film's own resolution; smaller where they would exceed MOST_BYTES."""
    names = [name_of(index) for index in dataset.source_index[rows]]
    for side in sides_of(float(np.median(dataset.box[rows, 2]))):
        for name, row in zip(names, rows, strict=True):
            write_image(folder / name, cut_out(dataset, row, side), QUALITY)
        if sum((folder / name).stat().st_size for name in names) <= MOST_BYTES:
            break
    return names


def sides_of(filmed_px: float) -> list[int]:
    """SIDES to try, the largest first: none is much larger than what was filmed, but for the smallest."""
    return [side for side in reversed(SIDES) if side < 1.25 * filmed_px or side == SIDES[0]]


def cut_out(dataset: Dataset, row: int, side: int) -> np.ndarray:
    """uint8 [side,side,4] with straight alpha: a frame's crop without traces of the background, and what of it the
    generator is taught."""
    only = np.array([row])
    color = foreground(dataset.images(only, side)[0], dataset.person_mattes(only, side)[0])
    return np.dstack([color, dataset.head_mattes(only, side)[0]])


def rendered_rows(portrait: Portrait, dataset: Dataset, rows: np.ndarray, expression: np.ndarray, task: Task) -> np.ndarray:
    """uint8 [K,S,S,4] premultiplied renders of some rows."""
    result = []
    for row in rows:
        scene = portrait.scene(expression[row : row + 1])
        result.append(to_bytes(portrait.render(scene, camera_of(dataset, np.array([row]))).generator[0]))
        task.advance()
    return np.stack(result)


def spread_rows(dataset: Dataset, expression: np.ndarray, names: tuple[str, ...], most: int) -> np.ndarray:
    """At most `most` training rows, in the order of time: farthest first by the largest distance in view or any region."""
    train = dataset.rows("train")
    if len(train) <= most:
        return train
    return train[np.sort(farthest(pairwise(faces_of(dataset, expression).rows(train), names), most))]


def farthest(apart: np.ndarray, count: int) -> np.ndarray:
    """`count` rows of distances [N,N]: the most usual one, then each as far as can be from those before."""
    rows = [int(apart.sum(0).argmin())]
    near = apart[rows[0]].copy()
    while len(rows) < count:
        rows.append(int(near.argmax()))
        near = np.minimum(near, apart[rows[-1]])
    return np.array(rows)


def faces_of(dataset: Dataset, expression: np.ndarray) -> Faces:
    return Faces(expression=expression, world_from_camera=dataset.world_from_camera, openings=dataset.openings())


def pairwise(faces: Faces, names: tuple[str, ...]) -> np.ndarray:
    """[N,N] the largest of the distances in view and in each region."""
    return np.max(list(lacks(faces, faces, names).values()), axis=0)
