"""A capture as one generator sees it: crops, cameras and mattes in its head frame, cut from the frames when they are needed.

Notable choices:
- pictures are cut at `CROP_PX` and averaged down from there, so that small sizes alias as little as large ones;
- what was cut is kept in `derived/<key>/` of the capture (or in the user's cache folder where the capture cannot be written).
  The key is the hash of all that the pictures depend on. Files are written atomically and one by one: two trainings may fill
  one folder, and a file that cannot be read is cut anew. It is a cache: no part of the capture's fingerprint, free to delete;
- captures of schema 1 hold the crops of a single prior; they are a view for that prior and no other.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.head_frame import HeadFrame, MatteRegion
from pipelines.artifacts.capture_record import SCHEMA, DatasetRecord, again, load_capture_record, load_dataset_record
from pipelines.artifacts.crops import Crops
from pipelines.artifacts.dataset import Dataset, Pixels
from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import read_arrays, read_image, sha256_file, sha256_json, write_image
from pipelines.face.matte_regions import face_weight, region_weight
from pipelines.media.squares import cut_square, resized

VERSION = 1
"""Of the pictures: other ones come of the same capture."""
CROP_PX = 512
"""Side at which crops are cut, or their own where that is more."""
DERIVED = "derived"
TRACKING = {"landmarks": "float [N,478,3]", "camera_from_head": "float [N,4,4]", "expression_measured": "float [N,E]"}


def view_of(capture: Path, frame: HeadFrame, *, cached: bool = True) -> Dataset:
    """The dataset of a capture folder in a head frame.

    UnusableMaterial when the capture is missing or broken, or was made by an earlier version for another prior.
    """
    record = load_dataset_record(capture)
    if record.schema != SCHEMA:
        return _stored_view(capture, record, frame)
    tracking = read_arrays(capture / "tracking.npz", TRACKING)
    if len(tracking["landmarks"]) != len(record.items):
        raise UnusableMaterial(f"{capture / 'tracking.npz'} is of another capture than dataset.json; {again(capture)}.")
    assert isinstance(record.focal_px, float)
    crops = Crops(
        camera_from_head=tracking["camera_from_head"].astype(np.float64), focal_px=record.focal_px, frame=frame,
        frame_size=record.frame_size,
    )  # fmt: skip
    pixels = CutPixels(
        capture=capture, names=[item.name for item in record.items], crops=crops, landmarks=tracking["landmarks"],
        matte_box=np.array([item.matte_box for item in record.items], np.float64).reshape(-1, 3),
        cache=cache_of(capture, frame) if cached else None,
    )  # fmt: skip
    return _dataset(capture, record, crops.world_from_camera, crops.intrinsics, crops.box, pixels)


def _stored_view(capture: Path, record: DatasetRecord, frame: HeadFrame) -> Dataset:
    """A capture of schema 1, which is aligned to one prior."""
    prior = load_capture_record(capture).prior
    if prior is None or not prior.sha256 or prior.sha256 != frame.prior_sha256:
        aligned = f"{prior.name} ({prior.sha256[:8]})" if prior else "a prior it does not name"
        raise UnusableMaterial(
            f"{capture} was made by an earlier version and is aligned to the prior {aligned} alone; {again(capture)}."
        )
    labels = np.array([label for _, label in record.labels], np.float64).reshape(-1, 25)
    box = np.array([item.box for item in record.items], np.float64).reshape(-1, 3)
    pixels = StoredPixels(folder=capture, names=[item.name for item in record.items])
    return _dataset(capture, record, labels[:, :16].reshape(-1, 4, 4), labels[:, 16:].reshape(-1, 3, 3), box, pixels)


def _dataset(
    capture: Path, record: DatasetRecord, poses: np.ndarray, intrinsics: np.ndarray, box: np.ndarray, pixels: Pixels
) -> Dataset:
    items = record.items
    return Dataset(
        folder=capture, names=[item.name for item in items], source_index=np.array([item.source_index for item in items]),
        time_s=np.array([item.time_s for item in items]), split=np.array([item.split for item in items]),
        weight=np.array([item.weight for item in items]), world_from_camera=poses, intrinsics=intrinsics, box=box,
        frame_size=record.frame_size, pixels=pixels,
    )  # fmt: skip


def cache_of(capture: Path, frame: HeadFrame) -> Path | None:
    """The folder of what was cut for this frame, in the capture or in the user's cache; None where neither can be written."""
    files = [capture / name for name in ("dataset.json", "tracking.npz", "stage.json")]
    content = [sha256_file(path) for path in files if path.exists()]
    square = [frame.prior_from_head, frame.crop_extent, *([frame.crop_center] if any(frame.crop_center) else [])]
    key = sha256_json([VERSION, CROP_PX, *square, frame.matte_region, content])[:16]
    for folder in (capture / DERIVED / key, user_cache() / DERIVED / key):
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return None


def user_cache() -> Path:
    """$AVATARCLI_CACHE, else ~/.cache/avatarcli."""
    return Path(os.environ.get("AVATARCLI_CACHE") or Path.home() / ".cache" / "avatarcli").expanduser()


@dataclass(frozen=True, kw_only=True)
class StoredPixels:
    """Pictures that lie in the capture as crops/, mattes/ and heads/, all of one size."""

    folder: Path
    names: list[str]

    def images(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self._read("crops", rows, size)

    def person_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self._read("mattes", rows, size)

    def head_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self._read("heads", rows, size)

    def _read(self, kind: str, rows: np.ndarray, size: int) -> np.ndarray:
        return np.stack([resized(read_image(self.folder / kind / f"{self.names[row]}.png"), size) for row in rows])


@dataclass(frozen=True, kw_only=True)
class CutPixels:
    """Pictures cut from the frames and mattes of a capture; those cut before are read from `cache`."""

    capture: Path
    names: list[str]
    crops: Crops
    landmarks: np.ndarray
    """[N,478,3] px of the frame."""
    matte_box: np.ndarray
    """[N,3] x0, y0 of the stored matte in px of the frame, and the width of its pixels."""
    cache: Path | None

    def images(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self._every("crops", self._image, rows, size)

    def person_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self._every("mattes", lambda row, px: np.round(self._person(row, px)).astype(np.uint8), rows, size)

    def head_mattes(self, rows: np.ndarray, size: int) -> np.ndarray:
        return self._every("heads", self._head, rows, size)

    def _every(self, kind: str, cut: Callable[[int, int], np.ndarray], rows: np.ndarray, size: int) -> np.ndarray:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            return np.stack(list(pool.map(lambda row: self._kept(kind, cut, int(row), size), rows)))

    def _kept(self, kind: str, cut: Callable[[int, int], np.ndarray], row: int, size: int) -> np.ndarray:
        """From the cache, else cut and kept there; a disk that is full costs time and no result."""
        path = self.cache / str(size) / kind / f"{self.names[row]}.png" if self.cache else None
        if path is not None and path.exists():
            with suppress(UnusableMaterial):
                picture = read_image(path)
                if picture.shape[:2] == (size, size):
                    return picture
        picture = resized(cut(row, max(CROP_PX, size)), size)
        if path is not None:
            with suppress(OSError):
                write_image(path, picture)
        return picture

    def _image(self, row: int, size: int) -> np.ndarray:
        return cut_square(read_image(self.capture / "frames" / f"{self.names[row]}.jpg"), self._box(row), size)

    def _person(self, row: int, size: int) -> np.ndarray:
        """float32 [size,size] in 0..255, 0 outside of the stored matte and of the frame."""
        x0, y0, side = self._box(row)
        left, top, pixel = self.matte_box[row]
        matte = read_image(self.capture / "mattes" / f"{self.names[row]}.png")
        alpha = cut_square(matte, ((x0 - left) / pixel, (y0 - top) / pixel, side / pixel), size, outside=0).astype(np.float32)
        at, (width, height) = (np.arange(size) + 0.5) / size * side, self.crops.frame_size
        across, down = (at + x0 >= 0) & (at + x0 <= width), (at + y0 >= 0) & (at + y0 <= height)
        return alpha * down[:, None] * across[None, :]

    def _head(self, row: int, size: int) -> np.ndarray:
        region: MatteRegion = self.crops.frame.matte_region
        weight = region_weight(region, self.crops.head_from_camera[row], self.crops.intrinsics[row], size)
        weight = np.maximum(weight, face_weight(self.landmarks[row], self._box(row), size))
        return np.round(self._person(row, size) * weight).astype(np.uint8)

    def _box(self, row: int) -> tuple[float, float, float]:
        x0, y0, side = self.crops.box[row].tolist()
        return x0, y0, side
