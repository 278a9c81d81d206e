"""Shards on disk: written whole, the same bytes again, read in batches."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.core.errors import UnusableMaterial
from pipelines.prior.people.shards import read_shard, read_shards, shard_path, write_shard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, rows in enumerate((range(4), range(4, 8), range(8, 10))):
        write_shard(
            shard_path(tmp_path, number), {"image": np.array(rows), "camera": np.array(rows) * 10, "people": np.zeros(1)}
        )
    return tmp_path


def test_bytes_depend_on_the_arrays_alone(folder: Path) -> None:
    first = shard_path(folder, 0)
    write_shard(folder / "again.npz", read_shard(first))
    assert first.read_bytes() == (folder / "again.npz").read_bytes()


def test_batches_cross_shards_and_the_rest_is_dropped(folder: Path) -> None:
    batches = list(read_shards(folder, 3, ("image", "camera")))
    assert [batch["image"].tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert all((batch["camera"] == 10 * batch["image"]).all() for batch in batches)


def test_a_seed_shuffles_the_same_way_and_every_row_comes_once(folder: Path) -> None:
    one, same, other = (
        np.concatenate([batch["image"] for batch in read_shards(folder, 5, ("image",), seed=seed, epochs=2)]).tolist()
        for seed in (1, 1, 2)
    )
    assert one == same != other
    assert sorted(one) == sorted([*range(10)] * 2)


def test_what_is_missing_is_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnusableMaterial, match="depth"):
        list(read_shards(folder, 1, ("depth",)))
    with pytest.raises(UnusableMaterial, match="prior synth"):
        list(read_shards(tmp_path / "empty", 1))
    shard_path(folder, 1).write_bytes(b"cut off")
    with pytest.raises(UnusableMaterial, match="00001"):
        list(read_shards(folder, 4, ("image",)))
