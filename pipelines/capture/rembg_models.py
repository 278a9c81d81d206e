"""Mattes by rembg, with models that compute on this machine from a file whose content somebody has vouched for.

Notable choices: an allow-list, because some sessions of rembg upload the image and its default has a paid license; the file's
sha256 has to be the registry's or one the user has registered, because rembg checks local files never; and the session's own
way to its file is replaced by ours, so that it can download nothing.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.errors import MissingTool, SettingError
from pipelines.files import sha256_file
from pipelines.registry import ENTRIES, by_sha256
from pipelines.weights import registered

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


def rembg_matting(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """uint8 [H,W,3] RGB -> float32 [H,W] alpha; SettingError for a name not on the list, MissingTool for what is not here."""
    path = vouched_file(name)
    try:
        import onnxruntime
        from rembg import remove
        from rembg.sessions import sessions_class
    except (ImportError, SystemExit) as error:
        raise MissingTool(
            f"mattes.model = {name!r} needs rembg with onnxruntime ({error}); pip install 'rembg[cpu]'."
        ) from error
    known: Any = next(one for one in sessions_class if one.name() == name)
    form = form_of(path) if name == "u2net_custom" else None
    quiet = onnxruntime.SessionOptions()
    quiet.log_severity_level = 3
    options: Any = {"providers": ["CPUExecutionProvider"], "model_path": str(path)}
    session = _local(known, path, form)(name, quiet, **options)

    def matte(image: np.ndarray) -> np.ndarray:
        alpha = np.asarray(remove(image, session=session, only_mask=True), np.float32) / 255
        return 1 - alpha if form and form.background_first else alpha

    return matte


def form_of(path: Path) -> Form | None:
    """The form of a network that is known by its content; None for U2-Net's own."""
    entry = by_sha256(sha256_file(path))
    return FORMS.get(entry.name) if entry else None


def vouched_file(name: str) -> Path:
    """The local file of a model; MissingTool unless its sha256 is known for it."""
    if name not in REMBG_MODELS:
        raise SettingError(f"mattes.model = {name!r}: choose mediapipe or one of {', '.join(REMBG_MODELS)}.")
    path = rembg_file(name)
    content = sha256_file(path)
    if not is_vouched(name, content):
        raise MissingTool(
            f"nobody has vouched for {path} (sha256 {content}); compare this with what its publisher states, then run "
            f"avatarcli prior register {name}, or leave mattes.model at mediapipe."
        )
    return path


def is_vouched(name: str, sha256: str) -> bool:
    """Whether the registry or the user knows this content as the model's; `u2net_custom` may be any matting network we know."""
    known = next(entry for entry in ENTRIES if entry.name == name)
    other = by_sha256(sha256)
    custom = name == "u2net_custom" and other is not None and "u2net_custom" in other.gives
    return custom or sha256 in (known.sha256, registered(name))


def rembg_file(name: str) -> Path:
    """The local file of a rembg model, or MissingTool with where it belongs."""
    home = Path(os.environ.get("REMBG_HOME") or Path.home() / ".rembg").expanduser()
    flat = Path(os.environ.get("U2NET_HOME") or Path.home() / ".u2net").expanduser()
    places = [home / "models" / name / f"{name}.onnx", flat / f"{name}.onnx"]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise MissingTool(
            f"mattes.model = {name!r} needs the file {places[1]}; download {name}.onnx from the releases page of "
            "github.com/danielgatis/rembg into that folder, or leave the setting at mediapipe."
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
