"""Held-out frames stay held out: by film and number, and by their look."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.artifacts.dataset import Dataset
from pipelines.artifacts.held_out import held_out_of, kept_held_out, one_after_the_other

FRAMES = 12


class Pictures:
    """Frames of a film as crops; `shift` moves them and `quality` encodes them again."""

    def __init__(self, seed: int, shift: float = 0.0, quality: int = 100) -> None:
        random = np.random.default_rng(seed)
        noise = [cv2.resize(random.uniform(0, 255, (24, 24, 3)).astype(np.float32), (128, 128)) for _ in range(FRAMES)]
        move = np.array([[1, 0, shift], [0, 1, shift]])
        moved = [cv2.warpAffine(picture, move, (128, 128), borderMode=cv2.BORDER_REPLICATE) for picture in noise]
        self.frames = np.array([self._encoded(picture.astype(np.uint8), quality) for picture in moved])

    def _encoded(self, picture: np.ndarray, quality: int) -> np.ndarray:
        done = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.asarray(cv2.imdecode(done, cv2.IMREAD_COLOR))

    def images(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self.frames[rows]

    def person_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        raise NotImplementedError

    head_mattes = person_mattes


def dataset(folder: Path, pictures: Pictures, split: str, first: int = 0, film: str = "") -> Dataset:
    folder.mkdir()
    (folder / "capture.json").write_text(json.dumps({"kind": "video", "sources": [{"sha256": film}] if film else []}))
    rows = np.arange(FRAMES)
    return Dataset(
        folder=folder, names=[str(row) for row in rows], source_index=rows + first, time_s=rows / 30,
        split=np.array(["train" if sign == "." else "test" for sign in split]), weight=np.ones(FRAMES),
        world_from_camera=np.tile(np.eye(4), (FRAMES, 1, 1)), intrinsics=np.tile(np.eye(3), (FRAMES, 1, 1)),
        box=np.zeros((FRAMES, 3)), frame_size=(128, 128), pixels=pictures,
    )  # fmt: skip


def test_the_same_pictures_in_another_order_of_splits(tmp_path: Path) -> None:
    old = dataset(tmp_path / "a", Pictures(0), "........####")
    new = dataset(tmp_path / "b", Pictures(0, shift=0.7, quality=80), "####........")
    kept, count = kept_held_out(new, [held_out_of(old)])
    assert count == 4 and "".join("#" if kind == "test" else "." for kind in kept.split) == "####....####"
    assert "".join("#" if kind == "test" else "." for kind in new.split) == "####........"


def test_other_pictures_are_left_alone(tmp_path: Path) -> None:
    old = dataset(tmp_path / "a", Pictures(0), "........####")
    assert kept_held_out(dataset(tmp_path / "b", Pictures(1), "............"), [held_out_of(old)])[1] == 0


def test_the_same_film_with_another_share_is_held_out_by_number(tmp_path: Path) -> None:
    old = dataset(tmp_path / "a", Pictures(0), "......#..#..", film="f" * 64)
    new = dataset(tmp_path / "b", Pictures(5), "............", first=1, film="f" * 64)
    kept, count = kept_held_out(new, [held_out_of(old)])
    assert count == 4 and kept.source_index[kept.rows("test")].tolist() == [6, 7, 8, 9]
    other = replace(new, folder=dataset(tmp_path / "c", Pictures(5), "." * FRAMES, film="e" * 64).folder)
    assert kept_held_out(other, [held_out_of(old)])[1] == 0


def test_what_an_added_capture_holds_out_is_kept_from_those_after_it(tmp_path: Path) -> None:
    parts = [dataset(tmp_path / "a", Pictures(0), "." * FRAMES), dataset(tmp_path / "b", Pictures(1), "....####...."),
             dataset(tmp_path / "c", Pictures(1, quality=90), "." * FRAMES)]  # fmt: skip
    kept, counts = one_after_the_other(parts)
    assert counts == [0, 0, 4] and kept[2].rows("test").tolist() == [4, 5, 6, 7]


def test_a_record_keeps_the_looks(tmp_path: Path) -> None:
    held = held_out_of(dataset(tmp_path / "a", Pictures(0), "..........##"))
    assert held.frames == (10, 11) and all(len(look) == 64 for look in held.looks) and held.film is None
    with pytest.raises(ValueError):
        kept_held_out(dataset(tmp_path / "b", Pictures(0), "." * FRAMES), [replace(held, looks=("xy",))])
