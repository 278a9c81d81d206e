"""HEIC photos as phones write them: HEVC tiles of one picture in a grid, turned by a property, with all that lies beside it.

Written by hand (ISO/IEC 23008-12), because no tool at hand makes them; the coded pictures are frames of videos that the bundled
ffmpeg encodes.
"""

import struct
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HVCC, TILE, WHOLE, TURN, COLOR, THUMB_HVCC, THUMB, GAIN = range(1, 9)
"""Numbers of the properties."""


@dataclass
class _Photo:
    """Items in the order of their numbers: kind, properties, where their data lie."""

    items: list[tuple[bytes, list[int], int, bytes]] = field(default_factory=list)
    references: bytes = b""

    def add(self, kind: bytes, properties: list[int], data: bytes, construction: int = 0) -> int:
        self.items.append((kind, properties, construction, data))
        return len(self.items)

    def refer(self, kind: bytes, one: int, others: list[int]) -> None:
        self.references += _box(kind, struct.pack(f">HH{len(others)}H", one, len(others), *others))


def write_heic(
    path: Path, image: np.ndarray, *, tile_px: int = 0, turns: int = 0, exif: bytes = b"", profile: bytes = b"",
    claimed: tuple[int, int] | None = None,
) -> Path:  # fmt: skip
    """uint8 [H,W,3] as one coded picture, or as a grid of square tiles of `tile_px`, shown turned counterclockwise.

    Beside it lie a thumbnail and a gain map of another size, as in a phone's file. `exif` is the TIFF part, `profile` an ICC
    profile; `claimed` is a width and height that the file says wrongly.
    """
    height, width = image.shape[:2]
    photo, tiles = _Photo(), _tiles(image, tile_px) if tile_px else [image]
    config, coded = _hevc(path, tiles)
    small = np.ascontiguousarray(image[::4, ::4][: height // 4 // 2 * 2, : width // 4 // 2 * 2])
    small_config, thumbnail = _hevc(path, [small, np.full_like(small, 99)])
    color = [COLOR] if profile else []
    if tile_px:
        numbers = [photo.add(b"hvc1", [HVCC, TILE], data) for data in coded]
        columns = -(-width // tile_px)
        grid = struct.pack(">BBBBHH", 0, 0, len(tiles) // columns - 1, columns - 1, width, height)
        primary = photo.add(b"grid", [WHOLE, TURN, *color], grid, construction=1)
        photo.refer(b"dimg", primary, numbers)
    else:
        primary = photo.add(b"hvc1", [HVCC, WHOLE, TURN, *color], coded[0])
    photo.refer(b"thmb", photo.add(b"hvc1", [THUMB_HVCC, THUMB, TURN], thumbnail[0]), [primary])
    photo.refer(b"auxl", photo.add(b"hvc1", [THUMB_HVCC, THUMB, GAIN, TURN], thumbnail[1]), [primary])
    if exif:
        photo.refer(b"cdsc", photo.add(b"Exif", [], struct.pack(">I", 6) + b"Exif\0\0" + exif), [primary])
    known = [
        _box(b"hvcC", config), _extent(tiles[0].shape[1], tiles[0].shape[0]), _extent(*(claimed or (width, height))),
        _box(b"irot", bytes([turns % 4])), _box(b"colr", b"prof" + profile), _box(b"hvcC", small_config),
        _extent(small.shape[1], small.shape[0]), _full(b"auxC", 0, 0, b"urn:com:apple:photo:2020:aux:hdrgainmap\0"),
    ]  # fmt: skip
    path.write_bytes(_file(photo, b"".join(known), primary))
    return path


def _tiles(image: np.ndarray, side: int) -> list[np.ndarray]:
    """Row by row; those at the right and lower border are filled up."""
    height, width = image.shape[:2]
    filled = np.pad(image, ((0, -height % side), (0, -width % side), (0, 0)), mode="edge")
    return [filled[y : y + side, x : x + side] for y in range(0, height, side) for x in range(0, width, side)]


def _hevc(beside: Path, pictures: list[np.ndarray]) -> tuple[bytes, list[bytes]]:
    """The hvcC record and the coded pictures."""
    import av
    from imageio_ffmpeg import get_ffmpeg_exe

    draft = beside.with_suffix(".coded.mp4")
    height, width = pictures[0].shape[:2]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", "25", "-i", "-"]
    colors = "scale=out_color_matrix=bt601:out_range=pc,format=yuv420p,setparams=range=pc:colorspace=smpte170m"
    encoder = ["-c:v", "libx265", "-x265-params", "keyint=1:log-level=none:qp=8", "-tag:v", "hvc1"]
    subprocess.run(
        [get_ffmpeg_exe(), "-v", "error", "-y", *raw, "-vf", colors, *encoder, str(draft)],
        input=b"".join(np.ascontiguousarray(picture).tobytes() for picture in pictures), check=True,
    )  # fmt: skip
    with av.open(str(draft)) as container:
        stream = container.streams.video[0]
        config = bytes(stream.codec_context.extradata or b"")
        coded = [bytes(packet) for packet in container.demux(stream) if packet.size]
    draft.unlink()
    return config, coded


def _file(photo: _Photo, properties: bytes, primary: int) -> bytes:
    head = _box(b"ftyp", b"heic" + struct.pack(">I", 0) + b"mif1heic")
    start = len(head) + len(_meta(photo, properties, primary, 0)) + 8
    data = b"".join(part for *_, construction, part in photo.items if construction == 0)
    return head + _meta(photo, properties, primary, start) + _box(b"mdat", data)


def _meta(photo: _Photo, properties: bytes, primary: int, start: int) -> bytes:
    """With the data of the items from byte `start` of the file on; those of construction 1 lie in here."""
    inside, places, entries, own = b"", b"", b"", b""
    for number, (kind, which, construction, data) in enumerate(photo.items, 1):
        offset = len(inside) if construction else start
        places += struct.pack(">HHHHII", number, construction, 0, 1, offset, len(data))
        entries += _full(b"infe", 2, 0, struct.pack(">HH4s", number, 0, kind) + b"\0")
        own += struct.pack(">HB", number, len(which)) + bytes(which)
        inside, start = (inside + data, start) if construction else (inside, start + len(data))
    count = struct.pack(">H", len(photo.items))
    return _full(b"meta", 0, 0, b"".join([
        _full(b"hdlr", 0, 0, struct.pack(">I4s13x", 0, b"pict")), _full(b"pitm", 0, 0, struct.pack(">H", primary)),
        _full(b"iloc", 1, 0, struct.pack(">H", 0x4400) + count + places), _full(b"iinf", 0, 0, count + entries),
        _full(b"iref", 0, 0, photo.references),
        _box(b"iprp", _box(b"ipco", properties) + _full(b"ipma", 0, 0, struct.pack(">I", len(photo.items)) + own)),
        _box(b"idat", inside),
    ]))  # fmt: skip


def _extent(width: int, height: int) -> bytes:
    return _full(b"ispe", 0, 0, struct.pack(">II", width, height))


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, flags: int, body: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags) + body)
