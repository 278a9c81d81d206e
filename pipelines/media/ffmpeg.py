"""The one place that calls ffmpeg, a separate program: the binary is the one that imageio-ffmpeg brings.

No name of a file can be taken for a protocol, and what a file refers to is not opened: see `pipelines.media.open`.
"""

import signal
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipelines.core import children
from pipelines.core.errors import AvatarError, UnusableMaterial
from pipelines.media.open import DEMUXERS, address, plain

QUIET = ("-loglevel", "error", "-nostdin")


def program() -> str:
    """Path of the ffmpeg binary."""
    from imageio_ffmpeg import get_ffmpeg_exe

    return get_ffmpeg_exe()


def source(path: Path, **options: Any) -> Any:
    """A film or a sound as an input of ffmpeg-python."""
    import ffmpeg

    name, protocols = address(path)
    return ffmpeg.input(name, protocol_whitelist=protocols, format_whitelist=",".join(DEMUXERS), **options)


def joined(listing: Path) -> Any:
    """The films that a list of ffmpeg's concat names one after the other, as an input; they lie in the list's folder."""
    import ffmpeg

    return ffmpeg.input(plain(listing), format="concat", safe=0, protocol_whitelist="file")


def raw_pictures(pix_fmt: str, size: str, rate: str) -> Any:
    """Pictures that come through standard input, as an input of ffmpeg-python."""
    import ffmpeg

    return ffmpeg.input("pipe:", format="rawvideo", pix_fmt=pix_fmt, s=size, framerate=rate)


def output(streams: Sequence[Any], path: Path, options: dict[str, Any]) -> Any:
    """Streams into a file whose name can be no protocol."""
    import ffmpeg

    return ffmpeg.output(*streams, plain(path), **options)


def run(stream: Any, out: Path, chunks: Iterable[bytes] = ()) -> None:
    """Run what ffmpeg-python built, feeding `chunks` to its standard input; AvatarError says why `out` was not written."""
    import ffmpeg

    command = ffmpeg.compile(stream.global_args(*QUIET), cmd=program(), overwrite_output=True)
    with tempfile.TemporaryFile() as log:
        process = children.begin(command, errors=log)
        assert process.stdin is not None
        try:
            for chunk in chunks:
                process.stdin.write(chunk)
            process.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg has gone; its words are in the log
        except BaseException:
            process.kill()
            raise
        finally:
            code = process.wait()
        log.seek(0)
        if code:
            raise AvatarError(_failure(code, log.read().decode(errors="replace"), out))


def picture(path: Path, limit_s: float) -> bytes:
    """A PPM of the first picture of a file, as ffmpeg shows it; UnusableMaterial when there is none within `limit_s`."""
    words = ["-protocol_whitelist", "file", "-format_whitelist", ",".join(DEMUXERS), "-i", plain(path)]
    try:
        done = _call([*QUIET, *words, "-frames:v", "1", "-c:v", "ppm", "-f", "image2pipe", "-"], limit_s)
    except children.BROKEN as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip().splitlines()
        raise UnusableMaterial(
            f"{path} cannot be decoded ({said[-1] if said else error}); copy it again or export it as JPEG."
        ) from error
    return done.stdout


def described(path: Path) -> str:
    """What ffmpeg says of a file's streams; empty when it says nothing."""
    name, protocols = address(path)
    words = ["-hide_banner", "-nostdin", "-protocol_whitelist", protocols, "-format_whitelist", ",".join(DEMUXERS), "-i", name]
    try:
        return _call(words, 60, check=False).stderr.decode(errors="replace")
    except children.BROKEN:
        return ""


def version() -> str:
    """ffmpeg's words about itself and how it was built; OSError or SubprocessError when it does not run."""
    return _call(["-version"], 60).stdout.decode(errors="replace")


def _call(words: Sequence[str], limit_s: float, check: bool = True) -> children.Done:
    done = children.run([program(), *words], timeout_s=limit_s)
    if check:
        done.check_returncode()
    return done


def _failure(code: int, log: str, out: Path) -> str:
    """One sentence about why ffmpeg stopped."""
    if code == -signal.SIGXFSZ or "File too large" in log:
        return f"{out} could not be written: the file-size limit (`ulimit -f`) is reached; raise it and run again."
    if "No space left" in log:
        return f"{out} could not be written: the disk is full; free some space and run the same command again."
    if code < 0:
        name = signal.Signals(-code).name
        return f"{out} could not be written: ffmpeg was ended by {name}, perhaps for lack of memory; run it again."
    words = [line.strip() for line in log.splitlines() if line.strip()]
    return f"{out} could not be written: ffmpeg says: {words[0].rstrip('.') if words else f'exit code {code}'}."
