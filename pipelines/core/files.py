"""Reading and writing so that a file is either whole or not there, and hashing by content."""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.errors import AvatarError, SettingError, UnusableMaterial


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place only when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    with atomic(path) as draft:
        draft.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted structure kept as given; dataclasses, paths and numpy scalars are turned into plain values."""
    write_text(path, json.dumps(value, indent=1, default=plain) + "\n")


def read_json(path: Path, made_by: str = "") -> Any:
    """The JSON value in `path`; a missing or broken file names the command that makes it."""
    hint = f" Make it with `{made_by}`." if made_by else ""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UnusableMaterial(f"{path} is missing.{hint}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UnusableMaterial(f"{path} is not valid JSON ({error}).{hint}") from error


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """An npz of plain arrays (no pickles)."""
    with atomic(path) as draft, draft.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; UnusableMaterial when it is missing or something else."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise UnusableMaterial(f"{path} is missing.") from error
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        said = "it holds no arrays" if "pickle" in str(error) else error
        raise UnusableMaterial(f"{path} cannot be read ({said}).") from error


def write_image(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """uint8 [H,W], [H,W,3] RGB or [H,W,4] RGBA as PNG, or as JPEG of `quality` when the name ends in .jpg."""
    import cv2

    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 3]
    done, data = cv2.imencode(path.suffix, image, options)
    if not done:
        raise AvatarError(f"{path} could not be encoded as an image of shape {image.shape}.")
    write_bytes(path, data.tobytes())


def read_image(path: Path) -> np.ndarray:
    """uint8 [H,W] for gray files, [H,W,3] RGB or [H,W,4] RGBA."""
    import cv2

    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise UnusableMaterial(f"{path} is missing or not an image.")
    if image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


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
