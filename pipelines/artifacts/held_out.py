"""Frames that an avatar must never learn from: a held-out frame stays held out, in whatever capture it comes back.

A frame is known by its origin (the film's sha256 and the frame's number) and by its look, so that a film that was encoded
again, or a capture's own frames taken for footage, does not turn held-out frames into training frames.

Notable choices: a look is 256 bits, whether a cell of the aligned crop is lighter than its surroundings. The same frame
captured anew differs in about 11 of them (24 at most, over 240 frames moved by 1 %), another picture in about 128; neighbors of
a held-out frame in the same film are held out with it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta, Struct

from pipelines.artifacts.dataset import Dataset
from pipelines.core.records import read_record

CELLS, SIDE_PX, AROUND = 16, 128, 5
ALIKE_BITS = 28


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The held-out frames of one capture, as an avatar's record keeps them."""

    film: str | None
    """sha256 of the one film they are of; None for photos and several films."""
    frames: tuple[int, ...]
    """Their numbers in the film."""
    looks: tuple[Annotated[str, Meta(pattern="^[0-9a-f]{64}$")], ...]


class Sources(Struct, frozen=True, kw_only=True):
    """What capture.json says of the footage."""

    kind: str = "video"
    sources: list[dict[str, Any]] = []


def held_out_of(dataset: Dataset) -> HeldOut:
    """The held-out frames of a capture."""
    rows = dataset.rows("test")
    looks = tuple(np.packbits(look).tobytes().hex() for look in looks_of(dataset, rows))
    return HeldOut(film=film_of(dataset.folder), frames=tuple(dataset.source_index[rows].tolist()), looks=looks)


def kept_held_out(dataset: Dataset, held: Iterable[HeldOut]) -> tuple[Dataset, int]:
    """The dataset whose training frames are none of those; and how many of them became held out."""
    rows = dataset.rows("train")
    again = np.zeros(len(rows), bool)
    looks, film = looks_of(dataset, rows), film_of(dataset.folder)
    for part in held:
        again |= _in_film(dataset.source_index[rows], film, part) | _alike(looks, part)
    split = dataset.split.copy()
    split[rows[again]] = "test"
    return replace(dataset, split=split), int(again.sum())


def looks_of(dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """bool [len(rows),256]."""
    import cv2

    if not len(rows):
        return np.zeros((0, CELLS**2), bool)
    gray = dataset.images(rows, SIDE_PX).astype(np.float32).mean(-1)
    cells = [cv2.resize(picture, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for picture in gray]
    return np.array([(cell > cv2.blur(cell, (AROUND, AROUND))).ravel() for cell in cells])


def film_of(capture: Path) -> str | None:
    """sha256 of the one film of a capture."""
    record = read_record(capture / "capture.json", Sources) if (capture / "capture.json").exists() else Sources()
    hashes = [source.get("sha256") for source in record.sources]
    return str(hashes[0]) if record.kind == "video" and len(hashes) == 1 and hashes[0] else None


def _in_film(index: np.ndarray, film: str | None, held: HeldOut) -> np.ndarray:
    """Frames of the same film between the first and the last that is held out."""
    if film is None or film != held.film or not held.frames:
        return np.zeros(len(index), bool)
    return (index >= min(held.frames)) & (index <= max(held.frames))


def _alike(looks: np.ndarray, held: HeldOut) -> np.ndarray:
    if not held.looks or not len(looks):
        return np.zeros(len(looks), bool)
    known = np.unpackbits(np.frombuffer(bytes.fromhex("".join(held.looks)), np.uint8)).reshape(-1, CELLS**2).astype(bool)
    return (looks[:, None] != known[None]).sum(-1).min(1) <= ALIKE_BITS


def one_after_the_other(parts: Sequence[Dataset]) -> tuple[tuple[Dataset, ...], list[int]]:
    """Datasets in the order of learning, each without the held-out frames of those before it; how many these were."""
    kept: list[Dataset] = []
    counts = []
    for part in parts:
        part, count = kept_held_out(part, map(held_out_of, kept)) if kept else (part, 0)
        kept.append(part)
        counts.append(count)
    return tuple(kept), counts
