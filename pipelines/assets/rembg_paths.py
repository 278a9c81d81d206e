"""Which background removal networks rembg can load, and where their files lie."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.assets.registry import ENTRIES, by_sha256
from pipelines.core.errors import MissingTool
from pipelines.core.files import sha256_file

REMBG_MODELS = tuple(entry.name for entry in ENTRIES if entry.home == "rembg")
"""rembg's sessions that compute here, under licenses that are known; `u2net_custom` is any network of that form."""


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a network of u2net_custom differs from U2-Net: what its input is made of, what its first channel means."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """Of RGB in 0..1."""
    background_first: bool


FORMS = {
    "SINet_Softmax.onnx": Form(mean=(0.5190, 0.4537, 0.4208), std=(68.297, 65.134, 63.972), background_first=True),
}
"""By registry entry; SINet divides by the deviation of 0..255 and then by 255 once more."""


def form_of(path: Path) -> Form | None:
    """The form of a network that is known by its content; None for U2-Net's own."""
    entry = by_sha256(sha256_file(path))
    return FORMS.get(entry.name) if entry else None


def rembg_file(name: str) -> Path:
    """The local file of a rembg model, or MissingTool with where it belongs."""
    home = Path(os.environ.get("REMBG_HOME") or Path.home() / ".rembg").expanduser()
    flat = Path(os.environ.get("U2NET_HOME") or Path.home() / ".u2net").expanduser()
    places = [home / "models" / name / f"{name}.onnx", flat / f"{name}.onnx"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise MissingTool(
            f"mattes.model = {name!r} needs the file {places[1]}; download {name}.onnx from the releases page of "
            "github.com/danielgatis/rembg into that folder, or use mattes.model=mediapipe."
        )
    return found


def _local(known: Any, path: Path, form: Form | None) -> Any:
    """The session class with `path` in the place of its download, fed in the network's own form."""

    class Local(known):
        @classmethod
        def download_models(cls, *_: Any, **__: Any) -> str:
            return str(path)

        def normalize(self, img: Any, mean: Any, std: Any, size: Any, *rest: Any, **more: Any) -> Any:
            mean, std = (form.mean, form.std) if form else (mean, std)
            return super().normalize(img, mean, std, size, *rest, **more)

    return Local
