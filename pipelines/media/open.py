"""The one door through which films and sounds are opened: a name is a file and nothing else.

Notable choices: names reach libav as absolute paths behind `file:`, so that none (`concat:a|b`, `10:30.mp4`) is taken for a
protocol; only containers that hold their media themselves are opened (no playlist, no numbered pictures, no text), and nothing
but files from within them. The film behind a phone's motion photo is read from the photo.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from pipelines.core.errors import UnusableMaterial
from pipelines.media.motion_photo import film_behind

DEMUXERS = (
    "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "m4v", "h264", "hevc",
    "obu", "ivf", "flv", "asf", "ogg", "gif", "apng", "mxf", "dv", "nut", "rm", "mjpeg", "wav", "w64", "flac", "mp3", "aac",
    "aiff", "caf", "amr", "ac3", "eac3", "au",
)  # fmt: skip
"""Containers that are opened, by libav's names."""
FILMS = (
    ".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi", ".3gp", ".3g2", ".ts", ".mts", ".m2ts", ".mpg", ".mpeg", ".vob", ".wmv",
    ".asf", ".flv", ".ogv", ".gif", ".mxf", ".dv",
)  # fmt: skip
"""Endings of films, where a folder is looked through."""
PHOTO_BRANDS = ("heic", "heix", "mif1", "avif")
"""Of HEIC and AVIF photos, which open like videos: of their tiles, one by one."""


def address(path: Path) -> tuple[str, str]:
    """The name under which libav opens a file, and the protocols that it may use for that."""
    known = path.stat() if path.is_file() else None
    span = _film_behind(path.absolute(), known.st_size, known.st_mtime_ns) if known else None
    if span is not None:
        return f"subfile,,start,{span[0]},end,{span[1]},,:{_spelled(path)}", "file,subfile"
    return plain(path), "file"


def plain(path: Path) -> str:
    """A name that can be no protocol, of the whole file; UnusableMaterial when it is no text."""
    return f"file:{_spelled(path)}"


def is_text(name: str) -> bool:
    """Whether a name is text in UTF-8: others reach Python as bytes that no record can hold."""
    return name.isascii() or not any("\udc80" <= letter <= "\udcff" for letter in name)


def _spelled(path: Path) -> str:
    name = str(path.absolute())
    if not is_text(name):
        raise UnusableMaterial(f"the name {name!r} is not text in UTF-8; rename it.")
    return name


def open_container(path: Path) -> Any:
    """A PyAV container; UnusableMaterial in one sentence when the file is none that is opened here."""
    import av
    from av import error as errors

    if not path.is_file():
        raise UnusableMaterial(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; give a video file.")
    if path.stat().st_size == 0:
        raise UnusableMaterial(f"{path} is empty (0 bytes); copy it from the phone again.")
    name, protocols = address(path)
    options = {"protocol_whitelist": protocols, "format_whitelist": ",".join(DEMUXERS)}
    try:
        container = av.open(name, container_options=options)
    except (errors.FFmpegError, OSError) as error:
        raise UnusableMaterial(f"{path} is not a readable video ({error.strerror}); give an MP4, MOV or WebM file.") from error
    if container.metadata.get("major_brand", "") in PHOTO_BRANDS:
        container.close()
        raise UnusableMaterial(f"{path} is a photo, not a video; give a video, or a folder of photos to capture.")
    return container


@lru_cache(maxsize=64)
def _film_behind(path: Path, size: int, changed_ns: int) -> tuple[int, int] | None:
    return film_behind(path)
