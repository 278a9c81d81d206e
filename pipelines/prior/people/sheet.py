"""A sheet to look at: pictures out of shards side by side, over soft backgrounds."""

from pathlib import Path

import numpy as np

from pipelines.core.errors import SettingError
from pipelines.core.files import check_writable, write_image
from pipelines.prior.people.scene import composite_over, draw_backdrop
from pipelines.prior.people.shards import read_shard, shard_paths


def check_sheet(path: Path) -> None:
    """SettingError unless a sheet can be written there: before hours of rendering, not after them."""
    if path.suffix.lower() not in (".png", ".jpg"):
        raise SettingError(f"--sheet {path}: name a .png or .jpg file.")
    check_writable(path.resolve().parent)


def write_sheet(folder: Path, path: Path, columns: int = 6, rows: int = 6, seed: int = 0) -> None:
    """A PNG of columns x rows pictures, one a person as far as there are enough, whatever view and face comes up."""
    random = np.random.default_rng(seed)
    tiles: list[np.ndarray] = []
    for shard in shard_paths(folder):
        data = read_shard(shard, ("image", "alpha", "person"))
        for person in np.unique(data["person"]):
            tiles += _some(data, person, random, 1)
        if len(tiles) >= columns * rows:
            break
    while len(tiles) < columns * rows:
        data = read_shard(shard_paths(folder)[0], ("image", "alpha", "person"))
        tiles += _some(data, int(random.choice(np.unique(data["person"]))), random, 1)
    write_image(path, tile_images(tiles[: columns * rows], columns))


def tile_images(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Equal images [H,W,3] row by row; the last row is filled up with gray."""
    blank = np.full_like(tiles[0], 127)
    lines = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    return np.vstack([np.hstack([*line, *[blank] * (columns - len(line))]) for line in lines])


def _some(data: dict[str, np.ndarray], person: int, random: np.random.Generator, count: int) -> list[np.ndarray]:
    mine = random.permutation(np.flatnonzero(data["person"] == person))[:count]
    return [composite_over(data["image"][i], data["alpha"][i], draw_backdrop(random, data["image"].shape[1])) for i in mine]
