"""Reading and writing so that a file is either whole or not there, and hashing by content."""

import hashlib
import json
import math
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipelines.core.errors import AvatarError, SettingError, UnusableMaterial
from pipelines.core.records import read_record

MOST_PIXELS = 250_000_000
"""Phones take up to 200 million."""
LARGEST_ARRAYS = 4 << 30
KINDS = {"float": "fiu", "int": "iu", "bool": "b", "text": "US"}
"""Kinds of numpy's types that serve as what is expected."""
UNREADABLE = (OSError, ValueError, TypeError, EOFError, SyntaxError, MemoryError, OverflowError, KeyError)
"""What broken files of arrays raise."""

DRAFT = re.compile(r"\..+\.\d+(\.[^.]+)?")
"""Names that `draft_of` gives."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(path)
    draft.unlink(missing_ok=True)  # whoever could have put a link there
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def draft_of(path: Path) -> Path:
    """Where this process writes what becomes `path`."""
    return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")


def remove_drafts(folder: Path) -> None:
    """Remove what processes that were killed left half-written in a folder and below."""
    for path in [path for path in folder.rglob(".*") if DRAFT.fullmatch(path.name) and not path.is_dir()]:
        path.unlink()


def write_bytes(path: Path, data: bytes) -> None:
    with atomic(path) as draft:
        draft.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted structure kept as given; dataclasses, paths and numpy scalars are turned into plain values."""
    write_text(path, json.dumps(value, indent=1, default=plain) + "\n")


def read_json(path: Path, made_by: str = "") -> dict[str, Any]:
    """The JSON object in `path`, for records without a type of their own; a missing or broken file names who makes it."""
    return read_record(path, dict[str, Any], made_by)


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """An npz of plain arrays (no pickles)."""
    with atomic(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path, expected: Mapping[str, str] | None = None, made_by: str = "") -> dict[str, np.ndarray]:
    """The arrays of an .npz file; UnusableMaterial when it is missing or something else.

    `expected` names arrays that must be there, with kind and shape: `{"times_s": "float [T]", "expression": "float [T,E]"}`;
    a letter is one length throughout. Floats among them must be finite.
    """
    hint = f" Make it with `{made_by}`." if made_by else ""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_headers(archive)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise UnusableMaterial(f"{path} is missing.{hint}") from error
    except (*UNREADABLE, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise UnusableMaterial(f"{path} cannot be read ({_said(error)}).{hint}") from error
    if problem := mismatch(arrays, expected or {}):
        raise UnusableMaterial(f"{path} {problem}.{hint}")
    return arrays


def read_array(path: Path) -> np.ndarray:
    """The array of an .npy file; UnusableMaterial when it is missing or something else."""
    try:
        with path.open("rb") as stream:
            _check_header(stream, path.stat().st_size, path.name)
        return np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UnusableMaterial(f"{path} is missing.") from error
    except UNREADABLE as error:
        raise UnusableMaterial(f"{path} cannot be read ({_said(error)}).") from error


def mismatch(arrays: Mapping[str, np.ndarray], expected: Mapping[str, str]) -> str:
    """What is wrong with arrays of which some are expected (see `read_arrays`), as `has no a`; empty when all is well."""
    lengths: dict[str, int] = {}
    for name, text in expected.items():
        kind, _, shape = text.partition(" ")
        if name not in arrays:
            return f"has no {name}"
        array, sides = arrays[name], [side for side in shape.strip("[]").split(",") if side]
        if array.dtype.kind not in KINDS[kind]:
            return f"has {name} of {array.dtype}, where {kind} belongs"
        known = [
            int(side) if side.isdigit() else lengths.setdefault(side, n) for side, n in zip(sides, array.shape, strict=False)
        ]
        if len(sides) != array.ndim or known != list(array.shape):
            return f"has {name} of shape {list(array.shape)}, where {shape} belongs"
        if kind == "float" and not np.isfinite(array).all():
            return f"has numbers in {name} that are not finite"
    return ""


def _check_headers(archive: zipfile.ZipFile) -> None:
    """ValueError unless the arrays of an npz are as large as their headers say, and not too large together."""
    total = sum(entry.file_size for entry in archive.infolist())
    if total > LARGEST_ARRAYS:
        raise ValueError(f"it unpacks to {total >> 20} MB, more than {LARGEST_ARRAYS >> 20}")
    for entry in archive.infolist():
        with archive.open(entry) as stream:
            _check_header(stream, entry.file_size, entry.filename)


def _check_header(stream: IO[bytes], size: int, name: str) -> None:
    """ValueError unless an npy file holds as many bytes as its header promises: memory is taken for what the header says."""
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject:
        raise ValueError("it holds no arrays")
    if math.prod(shape) * dtype.itemsize != size - stream.tell():
        raise ValueError(f"{name} does not hold the {'x'.join(map(str, shape)) or 'one'} numbers it promises")


def _said(error: BaseException) -> str:
    """The first line of what went wrong."""
    if "pickle" in str(error):
        return "it holds no arrays"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).splitlines()[0][:200]


def write_image(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """uint8 [H,W], [H,W,3] RGB or [H,W,4] RGBA as PNG; as JPEG or WebP of `quality` when the name ends in .jpg or .webp."""
    import cv2

    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    lossy = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}.get(path.suffix.lower())
    options = [cv2.IMWRITE_PNG_COMPRESSION, 3] if lossy is None else [lossy, quality]
    done, data = cv2.imencode(path.suffix, image, options)
    if not done:
        raise AvatarError(f"{path} could not be encoded as an image of shape {image.shape}.")
    write_bytes(path, data.tobytes())


def read_image(path: Path) -> np.ndarray:
    """uint8 [H,W] for gray files, [H,W,3] RGB or [H,W,4] RGBA."""
    import cv2

    _check_pixels(path)
    try:
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError) as error:
        raise UnusableMaterial(f"{path} cannot be decoded as an image; copy it again.") from error
    if image is None:
        raise UnusableMaterial(f"{path} is missing or not an image.")
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def _check_pixels(path: Path) -> None:
    """UnusableMaterial when the header of an image promises more pixels than any camera makes (they are not yet decoded)."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    try:
        with Image.open(path) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise UnusableMaterial(
            f"{path} says it has more than {MOST_PIXELS // 10**6} million pixels; make it smaller."
        ) from error
    except (OSError, SyntaxError, ValueError, OverflowError):
        return  # OpenCV knows forms that Pillow does not
    if width * height > MOST_PIXELS:
        raise UnusableMaterial(
            f"{path} has {width}x{height} pixels, more than {MOST_PIXELS // 10**6} million; make it smaller."
        )


def sha256_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=plain).encode()).hexdigest()


def plain(value: Any) -> Any:
    """What JSON cannot say by itself, said plainly."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in a JSON record")


def check_writable(folder: Path) -> None:
    """Raise SettingError unless new files can be made in `folder` (created if it is missing)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".avatarcli-probe-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise SettingError(f"cannot write into {folder}: {error.strerror or error}; choose another -o.") from error
