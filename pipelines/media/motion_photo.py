"""Motion photos: the film that phones put behind a JPEG (Google, Samsung, Xiaomi) or into a HEIC (the box `mpvd`)."""

import mmap
import struct
from pathlib import Path

JPEG = b"\xff\xd8\xff"
BRANDS = (b"mp4", b"iso", b"qt ", b"avc", b"hvc", b"M4V", b"MSN", b"3gp")
BOXES = (b"moov", b"mdat", b"free", b"skip", b"wide", b"uuid", b"moof", b"meta", b"mfra", b"sidx", b"pnot", b"udta", b"styp")
"""What follows `ftyp` in a film."""


def film_behind(path: Path) -> tuple[int, int] | None:
    """First byte of the film in a photo and one past its last; None where there is no such film."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:3] != JPEG and head[4:8] != b"ftyp":
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _behind_jpeg(data) if head[:3] == JPEG else _inside_heic(data)


def _behind_jpeg(data: mmap.mmap) -> tuple[int, int] | None:
    """The first `ftyp` from which boxes follow one another, a `moov` among them."""
    at = data.find(b"ftyp", 4)
    while at >= 0:
        if data[at + 4 : at + 8].startswith(BRANDS) and (end := _end_of_film(data, at - 4, len(data))):
            return at - 4, end
        at = data.find(b"ftyp", at + 4)
    return None


def _inside_heic(data: mmap.mmap) -> tuple[int, int] | None:
    if data[8:12] not in (b"heic", b"heix", b"mif1"):
        return None
    at = 0
    while (box := _box(data, at, len(data))) is not None:
        kind, content, stop = box
        if kind == b"mpvd" and (end := _end_of_film(data, content, stop)):
            return content, end
        at = stop
    return None


def _end_of_film(data: mmap.mmap, start: int, most: int) -> int | None:
    """One past the last box of the film that begins at `start`; None where there is no `moov`."""
    kinds, at = set(), start
    while (box := _box(data, at, most)) is not None and box[0] in (b"ftyp", *BOXES):
        kinds.add(box[0])
        at = box[2]
    return at if b"moov" in kinds else None


def _box(data: mmap.mmap, at: int, most: int) -> tuple[bytes, int, int] | None:
    """Kind, first byte of the content, one past the last byte; None where no whole box stands."""
    if at + 8 > most:
        return None
    size, kind = struct.unpack(">I4s", data[at : at + 8])
    head = 8
    if size == 1 and at + 16 <= most:
        size, head = struct.unpack(">Q", data[at + 8 : at + 16])[0], 16
    stop = most if size == 0 else at + size
    return (kind, at + head, stop) if size == 0 or (size >= head and stop <= most) else None
