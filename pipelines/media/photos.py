"""A folder of photos: upright as their EXIF says, in sRGB, with the focal length the camera wrote down.

Transparency is kept apart as an alpha: where somebody has already cut the person out, nobody has to do it again.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.core.errors import UnusableMaterial
from pipelines.core.files import MOST_PIXELS
from pipelines.media import heic
from pipelines.media.open import FILMS

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", *heic.SUFFIXES)
UNREADABLE = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".jxl")
"""Formats of phones and cameras that need a converter first."""
EXIF_IFD, FOCAL_35MM = 0x8769, 0xA405
DIAGONAL_35MM = 43.27
"""mm; equivalent focal lengths refer to it."""
ENOUGH_PX = 4096
"""Larger JPEGs are halved while they are decoded, as long as they stay larger than this."""
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

    def load_alpha(self) -> np.ndarray | None:
        return read_alpha(self.path)


def find(paths: Sequence[Path]) -> tuple[list[Photo], list[str]]:
    """The photos of a folder, or those named, sorted by name; and remarks about what was left out.

    UnusableMaterial says what the folder holds when there is no photo in it.
    """
    folder = paths[0] if paths[0].is_dir() else None
    files = sorted(path for path in folder.iterdir() if _visible(path)) if folder else sorted(paths)
    named = [path for path in files if path.suffix.lower() in SUFFIXES]
    opened = [_opened(path) for path in named]
    found = [photo for photo in opened if isinstance(photo, Photo)]
    if not found:
        why = next((str(error) for error in opened if isinstance(error, Exception)), "")
        raise UnusableMaterial(_nothing(folder or paths[0].parent, files, why))
    return found, _left_out(files, named, found)


def read(path: Path, upright: bool = True) -> np.ndarray:
    """uint8 [H,W,3] sRGB, upright if EXIF is to be obeyed; transparent pixels over mid gray.

    UnusableMaterial when it is no image.
    """
    from PIL import Image

    with _pixels(path, upright) as image:
        profile = image.info.get("icc_profile")
        image = _eight_bits(image)
        image = _in_srgb(image, profile) if profile else image
        if image.mode == "RGBA":
            under = Image.new("RGBA", image.size, (GRAY, GRAY, GRAY, 255))
            image = Image.alpha_composite(under, image)
        return np.array(image.convert("RGB"))


def read_alpha(path: Path, upright: bool = True) -> np.ndarray | None:
    """uint8 [H,W] of a picture that has one and is not opaque all over, else None."""
    with stored(path) as image:
        if image.mode not in ("RGBA", "LA", "PA", "P") or (image.mode == "P" and "transparency" not in image.info):
            return None
    with _pixels(path, upright) as image:
        alpha = np.array(_eight_bits(image).getchannel("A"))
    return None if alpha.min() > 250 else alpha


def stored(path: Path) -> Any:
    """The picture as Pillow opens it, its pixels not yet read except those of HEIC; UnusableMaterial when it is none."""
    from PIL import Image, UnidentifiedImageError

    if heic.is_heic(path):
        return heic.read_heic(path)
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    try:
        return Image.open(path)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UnusableMaterial(f"{path} is missing or not an image; copy it again.") from error


@contextmanager
def _pixels(path: Path, upright: bool) -> Iterator[Any]:
    """The picture, turned as EXIF says; what goes wrong while it is read is one sentence."""
    from PIL import ImageOps

    with stored(path) as image:
        try:
            if upright:  # others have cameras that know the stored size
                image.draft(None, (ENOUGH_PX, ENOUGH_PX))
            image.load()
            yield ImageOps.exif_transpose(image) if upright else image
        except (OSError, SyntaxError, ValueError) as error:
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


def _opened(path: Path) -> Photo | UnusableMaterial:
    """Its size and focal length; what is wrong with a file that is no image or is cut off."""
    try:
        height, width = read(path).shape[:2]
        focal = focal_of(_exif(path), width, height)
    except UnusableMaterial as error:
        return error
    return Photo(path=path, size=(width, height), focal=focal)


def _exif(path: Path) -> Any:
    from PIL import Image

    if not heic.is_heic(path):
        with Image.open(path) as image:
            return image.getexif()
    found = Image.Exif()
    with suppress(SyntaxError, ValueError, OSError):  # an Exif item of another make
        found.load(heic.describe(path).exif or b"")
    return found


def _eight_bits(image: Any) -> Any:
    """Modes that Pillow would clip instead of scale, and palettes with transparency."""
    from PIL import Image

    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    if image.mode in ("P", "LA", "PA"):
        return image.convert("RGBA")
    return image if image.mode in ("RGB", "RGBA", "L", "CMYK") else image.convert("RGB")


def _in_srgb(image: Any, profile: bytes) -> Any:
    """From the picture's own color space (phones write Display P3); unchanged when its profile is of no use."""
    from PIL import ImageCms

    try:
        source, mode = ImageCms.ImageCmsProfile(BytesIO(profile)), "RGB" if image.mode == "CMYK" else image.mode
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image


def _visible(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and path.name.lower() not in ("thumbs.db", "desktop.ini")


def _left_out(files: Sequence[Path], named: Sequence[Path], found: Sequence[Photo]) -> list[str]:
    """Remarks about the files that are not used."""
    known, remarks = {photo.path for photo in found}, []
    broken, clips = ([path.name for path in named if path not in known], [path.name for path in files if _is_clip(path)])
    others = [path.name for path in files if path not in named and not _is_clip(path)]
    if broken:
        remarks.append(f"{_few(broken)} cannot be read as photos and were left out.")
    if clips:
        remarks.append(f"{_few(clips)} are clips (or the moving part of live photos) and were left out beside the photos.")
    if others:
        hint = "; export raw photos as JPEG" if any(Path(name).suffix.lower() in UNREADABLE for name in others) else ""
        remarks.append(f"{_few(others)} are not photos and were left out{hint}.")
    return remarks


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in FILMS


def _nothing(folder: Path, files: Sequence[Path], why: str) -> str:
    if not files:
        return f"{folder} is empty; put at least a dozen photos of one head into it, or give a video."
    if why:
        return f"none of the photos in {folder} can be read: {why}"
    if any(path.suffix.lower() in UNREADABLE for path in files):
        return f"{folder} holds photos that cannot be read here ({_few([path.name for path in files])}); export them as JPEG."
    if any(map(_is_clip, files)):
        return f"{folder} holds clips ({_few([path.name for path in files if _is_clip(path)])}); give the clips themselves."
    return f"{folder} holds no photos ({_few([path.name for path in files])}); give a folder of JPEG or PNG files, or a video."


def _few(names: Sequence[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
