"""HEIC and HEIF photos, what phones store by default: pixels, color profile and EXIF of the one picture that is meant.

Notable choices: the bundled ffmpeg decodes; it puts the tiles of the grid together and turns the result. What the picture has
to be (its size, its turn) is read here from the file's boxes (ISO/IEC 23008-12), and anything else is refused, because decoders
that know no grids hand out a single tile of 512x512 or the thumbnail. The orientation in EXIF is not obeyed: the file's own
turn has done that already. pi-heif would do all this, but its wheel bundles libheif and libde265 under LGPLv3.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pipelines.core.errors import UnusableMaterial
from pipelines.media.ffmpeg import picture

SUFFIXES = (".heic", ".heif", ".hif")
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")
CUT_PX = 2
"""Decoders cut odd sizes to even ones."""
LIMIT_S = 60
"""Nobody waits longer for one photo."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a file says of its primary picture."""

    size: tuple[int, int]
    """Width, height as displayed."""
    profile: bytes | None
    """ICC."""
    exif: bytes | None
    """From the TIFF header on."""


def is_heic(path: Path) -> bool:
    """By its content: phones and their copiers misname files."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head[4:8] == b"ftyp" and head[8:12] in BRANDS


def read_heic(path: Path) -> Any:
    """A Pillow image in RGB, upright, its color profile in `info`; UnusableMaterial when it cannot be had whole."""
    from PIL import Image

    known = describe(path)
    image: Any = Image.open(BytesIO(picture(path, LIMIT_S)))
    if max(abs(a - b) for a, b in zip(image.size, known.size, strict=True)) > CUT_PX:
        (width, height), (wide, high) = known.size, image.size
        raise UnusableMaterial(
            f"{path} is a picture of {width}x{height}, but only {wide}x{high} of it could be decoded; export it as JPEG."
        )
    if known.profile:
        image.info["icc_profile"] = known.profile
    return image


def describe(path: Path) -> Known:
    """Size, profile and EXIF of the primary picture; UnusableMaterial when the file's boxes say no such thing."""
    try:
        return _described(path.read_bytes())
    except (struct.error, IndexError, KeyError, ValueError, StopIteration) as error:
        raise UnusableMaterial(f"{path} is a damaged HEIC photo; copy it again or export it as JPEG.") from error


def _described(data: bytes) -> Known:
    meta = dict(_boxes(dict(_boxes(data))[b"meta"][4:]))
    primary = _number(meta[b"pitm"], 4, 2 if meta[b"pitm"][0] == 0 else 4)
    inner = list(_boxes(meta[b"iprp"]))
    properties = [box for kind, body in inner if kind == b"ipco" for box in _boxes(body)]
    own = [properties[number - 1] for kind, body in inner if kind == b"ipma" for number in _associated(body).get(primary, ())]
    width, height = next(struct.unpack(">II", body[4:12]) for kind, body in own if kind == b"ispe")
    if (cut := next((struct.unpack(">4I", body[:16]) for kind, body in own if kind == b"clap"), None)) and cut[1] and cut[3]:
        width, height = cut[0] // cut[1], cut[2] // cut[3]
    turned = any(kind == b"irot" and body[0] % 2 for kind, body in own)
    profile = next((body[4:] for kind, body in own if kind == b"colr" and body[:4] in (b"prof", b"rICC")), None)
    return Known(size=(height, width) if turned else (width, height), profile=profile, exif=_exif(meta, data))


def _exif(meta: dict[bytes, bytes], data: bytes) -> bytes | None:
    """The first Exif item from its TIFF header on, whose distance from behind this number the item begins with."""
    inside = meta[b"iinf"]
    for kind, body in _boxes(inside[6 if inside[0] == 0 else 8 :]):
        number_size = 2 if body[0] == 2 else 4
        if kind == b"infe" and body[6 + number_size : 10 + number_size] == b"Exif":
            start, length = _place(meta[b"iloc"], _number(body, 4, number_size))
            return data[start + 4 + _number(data, start, 4) : start + length]
    return None


def _place(iloc: bytes, item: int) -> tuple[int, int]:
    """Offset and length in the file of an item that lies there in one piece."""
    version, sizes = iloc[0], _number(iloc, 4, 2)
    offset_size, length_size, base_size, index_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15
    number_size = 4 if version == 2 else 2
    at = 6 + number_size
    for _ in range(_number(iloc, 6, number_size)):
        number = _number(iloc, at, number_size)
        at += number_size + (2 if version else 0) + 2
        base, extents = _number(iloc, at, base_size), _number(iloc, at + base_size, 2)
        at += base_size + 2
        step = (index_size if version else 0) + offset_size + length_size
        if number == item:
            start = at + step - offset_size - length_size
            return base + _number(iloc, start, offset_size), _number(iloc, start + offset_size, length_size)
        at += extents * step
    raise KeyError(item)


def _associated(ipma: bytes) -> dict[int, list[int]]:
    """Numbers of properties by item."""
    number_size, wide = 2 if ipma[0] == 0 else 4, ipma[3] & 1
    found, at = {}, 8
    for _ in range(_number(ipma, 4, 4)):
        item, count = _number(ipma, at, number_size), ipma[at + number_size]
        at += number_size + 1
        found[item] = [_number(ipma, at + n * (1 + wide), 1 + wide) & (0x7FFF if wide else 0x7F) for n in range(count)]
        at += count * (1 + wide)
    return found


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the boxes that lie one after the other in `data`."""
    at = 0
    while at + 8 <= len(data):
        size, head = _number(data, at, 4), 8
        if size == 1:
            size, head = _number(data, at + 8, 8), 16
        end = at + size if size else len(data)
        if size and size < head or end > len(data):
            raise ValueError("a box is cut off")
        yield data[at + 4 : at + 8], data[at + head : end]
        at = end


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise IndexError(at)
    return int.from_bytes(data[at : at + size], "big")
