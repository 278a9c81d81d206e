"""A folder of photos: upright as their EXIF says, in sRGB, with the focal length the camera wrote down."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import UnusableMaterial

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
UNREADABLE = (".heic", ".heif", ".dng", ".cr2", ".nef", ".arw")
"""Formats of phones and cameras that need a converter first."""
EXIF_IFD, FOCAL_35MM = 0x8769, 0xA405
DIAGONAL_35MM = 43.27
"""mm; equivalent focal lengths refer to it."""
GRAY = 128
"""What transparent pixels are laid over."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    path: Path
    size: tuple[int, int]
    """Width, height, upright."""
    focal: float | None
    """Focal length over the longer side, where EXIF says it."""

    def load(self) -> np.ndarray:
        return read(self.path)


def find(paths: Sequence[Path]) -> tuple[list[Photo], list[str]]:
    """The photos of a folder, or those named, sorted by name; and remarks about what was left out.

    UnusableMaterial says what the folder holds when there is no photo in it.
    """
    folder = paths[0] if paths[0].is_dir() else None
    files = sorted(path for path in folder.iterdir() if _visible(path)) if folder else sorted(paths)
    named = [path for path in files if path.suffix.lower() in SUFFIXES]
    found = [photo for path in named if (photo := _opened(path)) is not None]
    if not found:
        raise UnusableMaterial(_nothing(folder or paths[0].parent, files, named))
    broken = [path.name for path in named if path not in {photo.path for photo in found}]
    others = [path.name for path in files if path not in named]
    remarks = []
    if broken:
        remarks.append(f"{_few(broken)} cannot be read as photos and were left out.")
    if others:
        hint = (
            "; export .heic and raw photos as JPEG" if any(Path(name).suffix.lower() in UNREADABLE for name in others) else ""
        )
        remarks.append(f"{_few(others)} are no photos and were left out{hint}.")
    return found, remarks


def read(path: Path, upright: bool = True) -> np.ndarray:
    """uint8 [H,W,3] sRGB, upright if EXIF is to be obeyed; transparent pixels over mid gray.

    UnusableMaterial when it is no image.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as stored:
            image: Any = ImageOps.exif_transpose(stored) if upright else stored
            profile = stored.info.get("icc_profile")
            image = _eight_bits(image)
            image = _in_srgb(image, profile) if profile else image
            if image.mode == "RGBA":
                under = Image.new("RGBA", image.size, (GRAY, GRAY, GRAY, 255))
                image = Image.alpha_composite(under, image)
            return np.array(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise UnusableMaterial(f"{path} is missing or not an image; copy it again.") from error


def focal_of(exif: Any, width: int, height: int) -> float | None:
    """Focal length over the longer side from the equivalent of 35 mm film, None when EXIF does not say it.

    26 mm of a 4000x3000 picture: 26 / 43.27 * 5000 / 4000 = 0.751.
    """
    try:
        equivalent = float(exif.get_ifd(EXIF_IFD).get(FOCAL_35MM) or 0)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return equivalent / DIAGONAL_35MM * float(np.hypot(width, height)) / max(width, height) if 8 <= equivalent <= 300 else None


def _opened(path: Path) -> Photo | None:
    """Its size and focal length; None for a file that is no image or is cut off."""
    from PIL import Image

    try:
        image = read(path)
        with Image.open(path) as stored:
            focal = focal_of(stored.getexif(), *stored.size)
    except (UnusableMaterial, OSError):
        return None
    return Photo(path=path, size=(image.shape[1], image.shape[0]), focal=focal)


def _eight_bits(image: Any) -> Any:
    """Modes that Pillow would clip instead of scale, and palettes with transparency."""
    from PIL import Image

    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode in ("P", "LA", "PA"):
        return image.convert("RGBA")
    return image if image.mode in ("RGB", "RGBA", "L") else image.convert("RGB")


def _in_srgb(image: Any, profile: bytes) -> Any:
    """From the picture's own color space (phones write Display P3); unchanged when its profile is of no use."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=image.mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _visible(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.name.lower() not in ("thumbs.db", "desktop.ini")


def _nothing(folder: Path, files: Sequence[Path], named: Sequence[Path]) -> str:
    if not files:
        return f"{folder} is empty; put at least a dozen photos of one head into it, or give a video."
    if named:
        return f"none of the {len(named)} photos in {folder} can be read; copy them again."
    if any(path.suffix.lower() in UNREADABLE for path in files):
        return f"{folder} holds photos that cannot be read here ({_few([path.name for path in files])}); export them as JPEG."
    return f"{folder} holds no photos ({_few([path.name for path in files])}); give a folder of JPEG or PNG files, or a video."


def _few(names: Sequence[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
