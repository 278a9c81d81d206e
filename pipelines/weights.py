"""Optional weight files: where they are looked for, and that they are what they claim to be."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipelines.errors import MissingTool
from pipelines.files import sha256_file


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A file a user may fetch to get more."""

    sha256: str
    gives: str
    source: str
    license: str


KNOWN = {
    "face_landmarker.task": Weight(
        sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
        gives="the 52 blendshapes of the MediaPipe face landmarker instead of the measured channels",
        source="the MediaPipe face landmarker model page (face_landmarker.task, float16, version 1)",
        license="Apache-2.0",
    ),
}


def weights_folder() -> Path:
    """$AVATARCLI_WEIGHTS, else ~/.cache/avatarcli/weights."""
    return Path(os.environ.get("AVATARCLI_WEIGHTS") or Path.home() / ".cache" / "avatarcli" / "weights").expanduser()


def find_weight(name: str) -> Path | None:
    """The checked file of a known name, or None when it is not there; MissingTool when its content is another's."""
    weight, path = KNOWN[name], weights_folder() / name
    if not path.is_file():
        return None
    if _sha256(path, path.stat().st_mtime_ns) != weight.sha256:
        raise MissingTool(f"{path} does not have the sha256 {weight.sha256[:12]}... of {name}; fetch it again or move it away.")
    return path


def how_to_get(name: str) -> str:
    weight = KNOWN[name]
    return f"Fetch {name} ({weight.license}) from {weight.source} and put it into {weights_folder()}."


@lru_cache(maxsize=16)
def _sha256(path: Path, changed_ns: int) -> str:
    return sha256_file(path)
