"""ffmpeg as a separate program: which options a file type takes, feeding it pictures, and what its failures mean.

The binary is the one imageio-ffmpeg brings; command lines are built by ffmpeg-python.
"""

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import AvatarError, SettingError

CONTAINERS = {".mp4": "h264", ".m4v": "h264", ".mov": "prores", ".webm": "vp9"}
"""Codec by file type."""


def codec_options(out: Path, alpha: bool, width: int, height: int) -> dict[str, Any]:
    """ffmpeg's output options for the file type; BT.709 limited range is written and tagged."""
    kind = CONTAINERS.get(out.suffix.lower())
    if kind is None or (alpha and kind == "h264"):
        need = ".webm or .mov (they carry transparency)" if alpha else "one of " + ", ".join(CONTAINERS)
        raise SettingError(f"{out} cannot hold this video; give a name that ends in {need}.")
    tags = {"colorspace": "bt709", "color_primaries": "bt709", "color_trc": "bt709", "color_range": "tv", "fflags": "+bitexact"}
    convert = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+bicubic"
    if kind == "h264":
        padded = f"pad={width + width % 2}:{height + height % 2}," if width % 2 or height % 2 else ""
        quality = {"crf": 16, "preset": "medium", "flags:v": "+bitexact"}
        return tags | quality | {"vcodec": "libx264", "pix_fmt": "yuv420p", "vf": padded + convert}
    if kind == "vp9":
        quality = {"crf": 20, "b:v": 0, "auto-alt-ref": 0, "row-mt": 1}
        return tags | quality | {"vcodec": "libvpx-vp9", "pix_fmt": "yuva420p" if alpha else "yuv420p", "vf": convert}
    return tags | {"vcodec": "prores_ks", "pix_fmt": "yuva444p10le" if alpha else "yuv444p10le", "profile:v": 4, "vf": convert}


def run_ffmpeg(stream: Any, chunks: Iterator[bytes], out: Path) -> None:
    """Run ffmpeg on `stream`, feeding `chunks` to its standard input; AvatarError says why it failed."""
    import ffmpeg
    from imageio_ffmpeg import get_ffmpeg_exe

    command = ffmpeg.compile(stream.global_args("-loglevel", "error", "-nostdin"), cmd=get_ffmpeg_exe(), overwrite_output=True)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
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
    return f"{out} could not be written: ffmpeg says: {words[-1] if words else f'exit code {code}'}."
